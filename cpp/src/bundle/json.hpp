// JSON as a bundle's checks need it: limited in depth, and in the form whose hash is a manifest's digest.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "edgekit/status.hpp"

namespace edgekit {

/// Levels of the deepest document that is read; nothing that edgekit writes comes near.
inline constexpr std::size_t most_levels = 64;

/// Empties a value without an allocation. The library's own destructor makes a list of what it destroys, and where
/// there is no memory for that the process ends.
void dismantle(nlohmann::json& value) noexcept;
void dismantle(nlohmann::ordered_json& value) noexcept;

/// A document that goes without an allocation. Take parts of it by std::move: while a copy is made, an allocation that
/// fails ends the process too.
template <class Json>
struct Document {
  Json root;

  Document() = default;
  Document(Document&&) noexcept = default;
  Document& operator=(Document&& other) noexcept {
    std::swap(root, other.root);
    return *this;
  }
  ~Document() { dismantle(root); }
};

using JsonDocument = Document<nlohmann::json>;
using OrderedJsonDocument = Document<nlohmann::ordered_json>;

/// A document. Code::bundle: it is none (the message is the reason alone), or is deeper than `most_levels`. Of a key
/// that is there twice the last counts.
///
/// Stricter than Python, which also takes NaN, infinities, numbers beyond those of a double and halves of surrogate
/// pairs.
Expected<JsonDocument> parse_json(std::string_view text);

/// The same, whose objects keep the order in which their keys were written.
Expected<OrderedJsonDocument> parse_ordered_json(std::string_view text);

/// A document as Python's `json.dumps(document, sort_keys=True)` writes it.
///
/// @param without key of the outermost object that is left out; empty: none. Errors as of parse_json.
Expected<std::string> canonical_json(std::string_view text, std::string_view without = {});

/// A number as Python's repr() has it: the shortest digits that give it back, "1.0", "1e-05".
std::string python_float(double value);

}  // namespace edgekit
