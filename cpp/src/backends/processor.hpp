// What this machine's processor can do that decides what an engine holds; runtime/processor.py.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

namespace edgekit {

/// Instruction sets that decide which kernels and memory layouts an optimised graph holds, by Linux's names.
std::span<const char* const> decisive_sets() noexcept;

/// Those of `sets` that this processor has, in their order; none outside Linux.
std::vector<std::string> instruction_sets(std::span<const char* const> sets);

/// "x86_64", "aarch64".
std::string machine();

/// "u8u8" on an x86 processor without VNNI, whose 16-bit sums of uint8 times int8 would saturate.
std::optional<std::string> int8_products();

}  // namespace edgekit
