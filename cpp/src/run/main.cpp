// edgekit-run: a bundle over pictures, a raw pipe or shared memory, without Python.
#include <csignal>
#include <cstdio>
#include <exception>

#include "run/program.hpp"

namespace {

void interrupt(int /*signal*/) { edgekit::run::interrupted = 1; }

}  // namespace

int main(int count, char** arguments) {
  try {
    const edgekit::run::Parsed parsed = edgekit::run::parse(count, arguments);
    if (parsed.exit) return *parsed.exit;
    struct sigaction action{};
    action.sa_handler = interrupt;  // without SA_RESTART: a read that waits ends
    ::sigaction(SIGINT, &action, nullptr);
    ::sigaction(SIGTERM, &action, nullptr);
    const edgekit::Status done = edgekit::run::run(parsed.options, stdout);
    const bool written = std::fflush(stdout) == 0 && std::ferror(stdout) == 0;
    if (done && written) return 0;
    std::fprintf(stderr, "edgekit-run: %s\n", done ? "stdout cannot be written" : done.error().message.c_str());
    return done ? 3 : edgekit::run::exit_code(done.error().code);
  } catch (const std::exception& error) {  // of the tool itself: no memory for its lists
    std::fprintf(stderr, "edgekit-run: %s\n", error.what());
    return 3;
  }
}
