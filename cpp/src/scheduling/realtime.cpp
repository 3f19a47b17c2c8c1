#include "scheduling/realtime.hpp"

#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace edgekit {
namespace {

std::string words_of(int error) { return std::generic_category().message(error); }

}  // namespace

std::string take_fifo(pthread_t thread, std::int32_t priority) {
  sched_param wanted{};
  wanted.sched_priority = priority;
  const int error = pthread_setschedparam(thread, SCHED_FIFO, &wanted);
  if (error == 0) return {};
  return "SCHED_FIFO priority " + std::to_string(priority) + " was refused (" + words_of(error) +
         "), the threads run as others do; give the process CAP_SYS_NICE or a limit of rtprio " +
         std::to_string(priority) + " (/etc/security/limits.d, ulimit -r)";
}

std::string take_processor(pthread_t thread, std::int32_t processor) {
  const std::string number = std::to_string(processor);
  int error = EINVAL;
  if (processor >= 0 && processor < CPU_SETSIZE) {
    cpu_set_t wanted;
    CPU_ZERO(&wanted);
    CPU_SET(static_cast<std::size_t>(processor), &wanted);
    error = pthread_setaffinity_np(thread, sizeof wanted, &wanted);
  }
  if (error == 0) return {};
  return "processor " + number + " was refused (" + words_of(error) +
         "), the thread runs anywhere; pin to processors that this process may use (taskset -p)";
}

std::string lock_memory() {
  rlimit limit{};
  getrlimit(RLIMIT_MEMLOCK, &limit);
  // Below a limit, memory that is locked as it comes makes later allocations fail: only what is here is locked then.
  const bool free = geteuid() == 0 || limit.rlim_cur == RLIM_INFINITY;
  if (mlockall(free ? MCL_CURRENT | MCL_FUTURE : MCL_CURRENT) != 0) {
    return "mlockall was refused (" + words_of(errno) +
           "), memory may be paged out; give the process CAP_IPC_LOCK or an unlimited memlock (ulimit -l unlimited)";
  }
  if (free) return {};
  return "memory that comes later is not locked, since memlock is limited to " + std::to_string(limit.rlim_cur) +
         " bytes; ulimit -l unlimited locks it, too";
}

}  // namespace edgekit
