#include "bundle/json.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "bundle/text.hpp"

namespace edgekit {
namespace {

std::string canonical(std::string_view text, std::string_view without = {}) {
  const Expected<std::string> made = canonical_json(text, without);
  return made ? *made : "refused: " + made.error().message;
}

TEST(Canonical, IsWhatPythonWrites) {
  EXPECT_EQ(canonical(R"( {"b":1 ,"a":[ ],"B":{}, "a b": null} )"), R"({"B": {}, "a": [], "a b": null, "b": 1})");
  EXPECT_EQ(canonical("[1.0, -0.0, 1e5, 1E+2, 0.1e-6, -0]"), "[1.0, -0.0, 100000.0, 100.0, 1e-07, 0]");
  EXPECT_EQ(canonical("[18446744073709551616, -9223372036854775809]"), "[18446744073709551616, -9223372036854775809]");
  EXPECT_EQ(canonical("\"\xC3\xA4 \xE6\xBC\xA2 \xF0\x9F\x98\x80 \x7F \\/ \\u0000\""),
            R"("\u00e4 \u6f22 \ud83d\ude00 \u007f / \u0000")");
  EXPECT_EQ(canonical("\"\\n\\r\\t\\f\\b\\\\\\\"\\u001f\""), R"("\n\r\t\f\b\\\"\u001f")");
}

TEST(Canonical, LeavesOutOneKeyOfTheOutermostMapping) {
  EXPECT_EQ(canonical(R"({"digest": 1, "a": {"digest": 2}})", "digest"), R"({"a": {"digest": 2}})");
}

TEST(Canonical, TakesTheLastOfTwoEqualKeys) {
  EXPECT_EQ(canonical(R"({"a": 1, "b": 2, "a": 3})"), R"({"a": 3, "b": 2})");
}

TEST(Canonical, SortsByCodePoints) {
  EXPECT_EQ(canonical("{\"\xF0\x9F\x98\x80\": 1, \"\xEF\xBF\xBF\": 2, \"z\": 3}"),
            R"({"z": 3, "\uffff": 2, "\ud83d\ude00": 1})");
}

TEST(PythonFloat, IsTheShortestThatGivesTheNumberBack) {
  EXPECT_EQ(python_float(0.0), "0.0");
  EXPECT_EQ(python_float(-0.0), "-0.0");
  EXPECT_EQ(python_float(1e15), "1000000000000000.0");
  EXPECT_EQ(python_float(1e16), "1e+16");
  EXPECT_EQ(python_float(1.5e16), "1.5e+16");
  EXPECT_EQ(python_float(0.0001), "0.0001");
  EXPECT_EQ(python_float(0.00001), "1e-05");
  EXPECT_EQ(python_float(-123.456), "-123.456");
  EXPECT_EQ(python_float(0.1 + 0.2), "0.30000000000000004");
  EXPECT_EQ(python_float(std::numeric_limits<double>::denorm_min()), "5e-324");
  EXPECT_EQ(python_float(std::numeric_limits<double>::max()), "1.7976931348623157e+308");
}

TEST(ParseJson, RefusesWhatIsNone) {
  for (const char* text : {"", "{", "{\"a\": 1,}", "[1] 2", "NaN", "1e999", "\"\\ud800\"", "\xEF\xBB\xBF{}", "\"\xFF\"",
                           "'a'", "{1: 2}", "[1 2]", "\"\n\"", "01"}) {
    EXPECT_FALSE(parse_json(text)) << text;
    EXPECT_FALSE(canonical_json(text)) << text;
    EXPECT_FALSE(parse_ordered_json(text)) << text;
  }
}

TEST(ParseJson, RefusesWhatIsTooDeep) {
  const auto nested = [](std::size_t levels) { return std::string(levels, '[') + std::string(levels, ']'); };
  EXPECT_TRUE(parse_json(nested(most_levels)));
  EXPECT_EQ(parse_json(nested(most_levels + 1)).error().message, "deeper than 64 levels");
  EXPECT_FALSE(canonical_json(nested(1000000))) << "a million levels would overflow the stack";
  EXPECT_FALSE(parse_json(std::string(1000000, '[')));
}

TEST(ParseJson, KeepsTheOrderWhereThatIsAsked) {
  EXPECT_EQ(parse_ordered_json(R"({"b": 1, "a": 2})").value().root.begin().key(), "b");
}

TEST(Text, IsWrittenAsPythonDoes) {
  EXPECT_EQ(quoted_name("a\\b\n'\x01"), "\"a\\\\b\\x0a'\\x01\"");
  EXPECT_EQ(with_commas(0), "0");
  EXPECT_EQ(with_commas(999), "999");
  EXPECT_EQ(with_commas(1000), "1,000");
  EXPECT_EQ(with_commas(16777216), "16,777,216");
  EXPECT_EQ(python_repr(nlohmann::json::parse(R"({"a": [null, true, 1, 1.0, "x"], "b": {}})")),
            "{'a': [None, True, 1, 1.0, 'x'], 'b': {}}");
}

}  // namespace
}  // namespace edgekit
