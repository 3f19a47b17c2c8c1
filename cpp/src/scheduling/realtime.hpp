// What the operating system may grant to threads, and a sentence where it does not.
#pragma once

#include <pthread.h>

#include <cstdint>
#include <string>
#include <vector>

namespace edgekit {

/// Each returns nothing, or one line for a person: what was refused, why, and the way out.
std::string take_fifo(pthread_t thread, std::int32_t priority);
std::string take_processor(pthread_t thread, std::int32_t processor);
/// All memory of the process, now and, where there is no limit, later.
std::string lock_memory();

}  // namespace edgekit
