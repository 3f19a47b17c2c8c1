// The command line of edgekit-run.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "run/inputs.hpp"

namespace edgekit::run {

struct Options {
  std::filesystem::path bundle;
  std::vector<std::string> inputs;  ///< pictures and folders; or "-"; or "shm:/NAME"
  std::optional<std::filesystem::path> key;
  std::string role = "candidate";
  RawFormat raw;
  double patience_s = 5;
  std::uint64_t limit = 0;  ///< 0: all
  std::uint64_t repeat = 1;
  std::uint64_t warmup = 20;
  bool json = false;
  bool frames = false;
};

/// What a command line asks for, or the exit code that it ends with: 0 after --help and --version, 2 when it is wrong.
struct Parsed {
  Options options;
  std::optional<int> exit;
};
Parsed parse(int count, const char* const* arguments);

}  // namespace edgekit::run
