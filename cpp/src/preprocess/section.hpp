// Keys of one mapping of bundle.json, each read once; what is left over is refused by name.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "edgekit/status.hpp"

namespace edgekit::preprocessing {

/// Reads the keys of a mapping. The first problem is kept, and every later call gives a default.
class SectionReader {
 public:
  /// `place` names the mapping in errors: "preprocess.image".
  SectionReader(const nlohmann::json& section, std::string place);

  /// The value of a key; null: it is not there.
  const nlohmann::json* find(std::string_view key);
  /// The index of the key's value in `names`; `otherwise` without the key, where there is one.
  std::size_t one_of(std::string_view key, std::span<const std::string_view> names,
                     std::optional<std::size_t> otherwise);
  std::string text(std::string_view key, std::string_view otherwise);
  /// A finite number.
  double number(std::string_view key, double otherwise);
  /// A finite number, or a list of them.
  std::vector<double> numbers(std::string_view key, std::vector<double> otherwise);
  /// A whole number from 1 to 32767, or two of them (one alone stands for both).
  std::vector<std::int32_t> sides(std::string_view key);

  /// This library does not have it: Code::unsupported.
  void refuse(std::string_view key, const std::string& why);
  /// Nothing can have it: Code::bundle.
  void wrong(std::string_view key, const std::string& why);
  /// The first problem, if there is one.
  Status finish_so_far() const { return problem_ ? Status(*problem_) : Status(); }
  /// The first problem; else the first key that nobody asked for.
  Status finish() const;
  bool failed() const noexcept { return problem_.has_value(); }
  const std::string& place() const noexcept { return place_; }

 private:
  void report(Code code, std::string_view key, const std::string& why);
  const nlohmann::json& section_;
  std::string place_;
  std::vector<std::string> known_;
  std::optional<Error> problem_;
};

}  // namespace edgekit::preprocessing
