#include "bundle/json.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <vector>

namespace edgekit {
namespace {

using Json = nlohmann::json;

/// What both readers of a document share: how deep it is, and what is wrong with it.
class Walker {
 public:
  using string_t = Json::string_t;
  bool binary(Json::binary_t&) { return false; }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& error) {
    const std::string_view what = error.what();  // "[json.exception.parse_error.101] parse error at line 1, ..."
    const std::size_t closed = what.find("] ");
    problem = closed == what.npos ? what : what.substr(closed + 2);
    return false;
  }

  std::string problem;

 protected:
  bool deeper() {
    if (++depth_ <= most_levels) return true;
    problem = "deeper than " + std::to_string(most_levels) + " levels";
    return false;
  }
  void higher() { --depth_; }

 private:
  std::size_t depth_ = 0;
};

template <class Made>
void emptied(Made& value) noexcept {
  if (auto* object = value.template get_ptr<typename Made::object_t*>()) {
    for (auto& [unused, member] : *object) emptied(member);
    object->clear();
  } else if (auto* array = value.template get_ptr<typename Made::array_t*>()) {
    for (Made& member : *array) emptied(member);
    array->clear();
  }
}

/// Makes the document's values, each in its place before it is filled, so that they can be dismantled at any time.
template <class Made>
class Builder final : public Walker {
 public:
  explicit Builder(Made& root) : root_(root) {}

  bool null() { return add(nullptr); }
  bool boolean(bool value) { return add(value); }
  bool number_integer(Json::number_integer_t value) { return add(value); }
  bool number_unsigned(Json::number_unsigned_t value) { return add(value); }
  bool number_float(Json::number_float_t value, const string_t&) { return add(value); }
  bool string(string_t& value) { return add(std::move(value)); }
  bool start_object(std::size_t) { return start(Made::object()); }
  bool start_array(std::size_t) { return start(Made::array()); }
  bool key(string_t& value) {
    key_ = std::move(value);
    return true;
  }
  bool end_object() { return end(); }
  bool end_array() { return end(); }

 private:
  Made& place() {
    if (open_.empty()) return root_;
    Made& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(nullptr);
      return parent.back();
    }
    Made& found = parent[key_];
    dismantle(found);  // of a key that is there twice
    return found;
  }
  template <class Value>
  bool add(Value&& value) {
    place() = std::forward<Value>(value);
    return true;
  }
  bool start(Made container) {
    Made& made = place();
    made = std::move(container);
    open_.push_back(&made);  // its parent gets no other child before this one is closed
    return deeper();
  }
  bool end() {
    higher();
    open_.pop_back();
    return true;
  }

  Made& root_;
  std::vector<Made*> open_;
  std::string key_;
};

/// The length of the code point that begins with this byte of valid UTF-8.
std::size_t length_of(unsigned char first) { return first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4; }

void append_unit(std::string& made, std::uint32_t unit) {
  std::array<char, 8> text{};
  std::snprintf(text.data(), text.size(), "\\u%04x", static_cast<unsigned>(unit & 0xFFFF));
  made += text.data();
}

/// In quotation marks, all but ASCII escaped.
std::string json_text(std::string_view text) {
  std::string made = "\"";
  for (std::size_t at = 0; at < text.size();) {
    const auto first = static_cast<unsigned char>(text[at]);
    const std::size_t length = std::min(length_of(first), text.size() - at);
    static constexpr std::string_view special = "\"\\\n\r\t\f\b";
    static constexpr std::string_view letters = "\"\\nrtfb";
    if (const std::size_t which = special.find(text[at]); which != special.npos) {
      made += {'\\', letters[which]};
    } else if (first >= 0x20 && first < 0x7F) {
      made += text[at];
    } else {
      std::uint32_t point = length == 1 ? first : first & (0xFFU >> (length + 1));
      for (std::size_t more = 1; more < length; ++more) {
        point = point << 6 | (static_cast<unsigned char>(text[at + more]) & 0x3FU);
      }
      if (point > 0xFFFF) {
        append_unit(made, 0xD800 + ((point - 0x10000) >> 10));
        point = 0xDC00 + ((point - 0x10000) & 0x3FF);
      }
      append_unit(made, point);
    }
    at += length;
  }
  return made + '"';
}

/// Builds the canonical text from the inside out.
class Canonical final : public Walker {
 public:
  explicit Canonical(std::string_view without) : without_(without) {}
  std::string text;

  bool null() { return add("null"); }
  bool boolean(bool value) { return add(value ? "true" : "false"); }
  bool number_integer(Json::number_integer_t value) { return add(std::to_string(value)); }
  bool number_unsigned(Json::number_unsigned_t value) { return add(std::to_string(value)); }
  bool number_float(Json::number_float_t value, const string_t& token) {
    // An integer beyond 64 bits arrives here too; Python has it whole, with these very digits.
    return add(token.find_first_of(".eE") == token.npos ? token : python_float(value));
  }
  bool string(string_t& value) { return add(json_text(value)); }
  bool start_object(std::size_t) { return start(); }
  bool key(string_t& value) {
    levels_.back().key = std::move(value);
    return true;
  }
  bool end_object() { return add(written(finished())); }
  bool start_array(std::size_t) { return start(); }
  bool end_array() { return add(listed(finished())); }

 private:
  using Item = std::pair<std::string, std::string>;
  struct Level {
    std::string key;
    std::vector<Item> items;
  };

  bool start() {
    levels_.emplace_back();
    return deeper();
  }

  bool add(std::string made) {
    if (levels_.empty()) {
      text = std::move(made);
    } else {
      levels_.back().items.emplace_back(levels_.back().key, std::move(made));
    }
    return true;
  }

  std::vector<Item> finished() {
    higher();
    std::vector<Item> items = std::move(levels_.back().items);
    levels_.pop_back();
    return items;
  }

  /// Keys in the order of their code points, which is that of UTF-8; of a key that is there twice the last counts.
  std::string written(std::vector<Item> items) const {
    std::stable_sort(items.begin(), items.end(), [](const Item& a, const Item& b) { return a.first < b.first; });
    std::string made = "{";
    for (std::size_t index = 0; index < items.size(); ++index) {
      const auto& [name, content] = items[index];
      const bool again = index + 1 < items.size() && items[index + 1].first == name;
      if (again || (levels_.empty() && !without_.empty() && name == without_)) continue;
      if (made.size() > 1) made += ", ";
      made += json_text(name) + ": " + content;
    }
    return made + '}';
  }

  static std::string listed(const std::vector<Item>& items) {
    std::string made = "[";
    for (const auto& [unused, content] : items) {
      if (made.size() > 1) made += ", ";
      made += content;
    }
    return made + ']';
  }

  std::string_view without_;
  std::vector<Level> levels_;
};

template <class Reader>
Status read(std::string_view text, Reader& reader) {
  // The library skips a byte order mark, which Python refuses.
  if (text.starts_with("\xEF\xBB\xBF")) return Error{Code::bundle, "it begins with a byte order mark"};
  if (Json::sax_parse(text, &reader)) return {};
  return Error{Code::bundle, reader.problem.empty() ? "not JSON" : reader.problem};
}

template <class Made>
Expected<Document<Made>> parsed(std::string_view text) {
  Document<Made> made;
  Builder<Made> builder(made.root);
  if (Status fine = read(text, builder); !fine) return fine.error();
  return made;
}

}  // namespace

void dismantle(nlohmann::json& value) noexcept { emptied(value); }
void dismantle(nlohmann::ordered_json& value) noexcept { emptied(value); }

Expected<JsonDocument> parse_json(std::string_view text) { return parsed<nlohmann::json>(text); }

Expected<OrderedJsonDocument> parse_ordered_json(std::string_view text) { return parsed<nlohmann::ordered_json>(text); }

Expected<std::string> canonical_json(std::string_view text, std::string_view without) {
  Canonical made(without);
  if (Status fine = read(text, made); !fine) return fine.error();
  return std::move(made.text);
}

std::string python_float(double value) {
  std::array<char, 32> scientific{};  // "-1.7976931348623157e+308"
  const char* end =
      std::to_chars(scientific.data(), scientific.data() + scientific.size(), value, std::chars_format::scientific).ptr;
  const std::string_view text(scientific.data(), static_cast<std::size_t>(end - scientific.data()));
  const std::size_t mark = text.find('e');
  std::string digits;
  for (const char one : text.substr(0, mark)) {
    if (one >= '0' && one <= '9') digits += one;
  }
  int exponent = 0;
  const std::size_t sign_and_digits = mark + (text[mark + 1] == '+' ? 2 : 1);
  std::from_chars(text.data() + sign_and_digits, end, exponent);
  std::string made = text.front() == '-' ? "-" : "";
  if (exponent < -4 || exponent >= 16) {
    made += digits.substr(0, 1) + (digits.size() > 1 ? "." + digits.substr(1) : "");
    return made.append(text.substr(mark));  // "e-05": two digits at least, as in Python
  }
  if (exponent < 0) return made + "0." + std::string(static_cast<std::size_t>(-exponent - 1), '0') + digits;
  const auto whole = static_cast<std::size_t>(exponent) + 1;
  if (digits.size() <= whole) return made + digits + std::string(whole - digits.size(), '0') + ".0";
  return made + digits.substr(0, whole) + "." + digits.substr(whole);
}

}  // namespace edgekit
