// As much of JSON Schema as pydantic writes for edgekit's documents.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace edgekit::run {

class Schema {
 public:
  explicit Schema(nlohmann::json schema) : root_(std::move(schema)) {}

  /// What is wrong with a document first; empty: nothing. A field that the schema does not name is wrong too.
  std::string problem(const nlohmann::json& document) const { return of(root_, document, "document"); }

 private:
  using json = nlohmann::json;

  std::string of(const json& schema, const json& value, const std::string& place) const {
    if (schema.contains("$ref")) {
      const std::string name = schema["$ref"].get<std::string>().substr(std::string("#/$defs/").size());
      return of(root_["$defs"][name], value, place);
    }
    if (schema.contains("anyOf")) {
      for (const json& one : schema["anyOf"]) {
        if (of(one, value, place).empty()) return "";
      }
      return place + ": none of its types: " + value.dump().substr(0, 80);
    }
    if (schema.contains("enum") || schema.contains("const")) return "";
    const std::string type = schema.value("type", "");
    if (type == "object") return of_object(schema, value, place);
    if (type == "array") {
      if (!value.is_array()) return place + ": no array";
      for (const json& one : value) {
        const json items = schema.value("items", json::object());
        if (std::string found = of(items, one, place + "[]"); !found.empty()) return found;
      }
      return "";
    }
    const bool fits = type.empty() || (type == "null" && value.is_null()) || (type == "string" && value.is_string()) ||
                      (type == "boolean" && value.is_boolean()) || (type == "integer" && value.is_number_integer()) ||
                      (type == "number" && value.is_number());
    return fits ? "" : place + ": not of type " + type + ": " + value.dump().substr(0, 80);
  }

  std::string of_object(const json& schema, const json& value, const std::string& place) const {
    if (!value.is_object()) return place + ": no object";
    for (const json& name : schema.value("required", json::array())) {
      if (!value.contains(name)) return place + ": lacks " + name.get<std::string>();
    }
    const json known = schema.value("properties", json::object());
    for (const auto& [name, one] : value.items()) {
      if (!known.contains(name) && !schema.contains("additionalProperties")) return place + ": unknown field " + name;
      const json& kind = known.contains(name) ? known[name] : schema["additionalProperties"];
      if (kind.is_boolean()) continue;
      if (std::string found = of(kind, one, place + "." + name); !found.empty()) return found;
    }
    for (const auto& [name, kind] : known.items()) {
      if (!value.contains(name)) return place + ": lacks " + name;
    }
    return "";
  }

  json root_;
};

}  // namespace edgekit::run
