// JSON of a bundle: its manifest, bundle.json and golden/predictions.json. The first byte chooses the reader.
//
// A digest would keep every changed manifest out: the parts behind it are reached by giving it the one that fits.
#include "bundle/contents.hpp"

#include <string>

#include "bundle/hash.hpp"
#include "bundle/json.hpp"
#include "bundle/manifest.hpp"

namespace {

using namespace edgekit;

void read_manifest(std::string text) {
  if (const Expected<Manifest> as_it_is = Manifest::parse(text, "manifest.json")) return;
  const Expected<std::string> body = canonical_json(text, "digest");
  if (!body || !body->ends_with('}')) return;
  const Expected<std::string> again = canonical_json(*body);
  if (!again || *again != *body) std::abort();  // what is canonical stays as it is
  const Expected<std::string> digest = sha256(*body);
  if (!digest) return;
  std::string whole = *body;
  whole.pop_back();
  whole += (whole.size() > 1 ? ", " : "") + std::string("\"digest\": \"") + *digest + "\"}";
  if (const Expected<Manifest> forged = Manifest::parse(std::move(whole), "manifest.json")) {
    if (forged->digest() != *digest || !forged->files().is_object()) std::abort();
    if (forged->sizes() != nullptr && forged->sizes()->size() != forged->files().size()) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 2 == 0) {
    read_manifest(text);
  } else if (const Expected<Contents> contents = Contents::parse(text, "bundle.json")) {
    if (contents->engine.threads < 1 || !contents->task.is_object()) std::abort();
  }
  return 0;
}
