// Reading a task's section of bundle.json: every key is known or refused by name.
#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "edgekit/status.hpp"

namespace edgekit {

/// The keys of one section. What does not fit is remembered, the first of it, and told by finish(); until then a getter
/// gives a value that fits. A key that is null is one that is not there.
class Section {
 public:
  /// `section` has to outlive this; `where` is its name in messages, "task".
  Section(const nlohmann::json& section, std::string where);

  /// The value of a key, or null; the key is known from then on.
  const nlohmann::json* find(const std::string& key);
  /// Keys that only metrics and drawing use.
  void ignore(std::initializer_list<const char*> keys);

  std::string text(const std::string& key);
  /// A list of texts, or one text alone.
  std::vector<std::string> one_or_more(const std::string& key);
  /// How many names a list of different names holds.
  std::vector<std::string> names(const std::string& key, std::size_t fewest, std::size_t most);
  bool boolean(const std::string& key, bool fallback);
  double number(const std::string& key, double fallback);
  /// A whole number of `least` or more.
  std::int64_t whole(const std::string& key, std::int64_t fallback, std::int64_t least);
  /// The place of the value among `allowed`.
  std::size_t choice(const std::string& key, std::span<const std::string_view> allowed, std::size_t fallback);
  /// A list of numbers; empty where the key is not there.
  std::vector<double> numbers(const std::string& key);

  /// Remembers that a key does not fit, unless another did not before: "task.KEY: WHY".
  void refuse(const std::string& key, const std::string& why);
  /// As refuse(), with the value: "task.KEY: found VALUE; expected EXPECTED".
  void expect(const std::string& key, const std::string& expected);
  bool fits() const noexcept { return error_.empty(); }

  /// Code::unsupported: a key does not fit, or is not known.
  Status finish() const;

 private:
  const nlohmann::json& section_;
  std::string where_;
  std::set<std::string> known_;
  std::string error_;
};

}  // namespace edgekit
