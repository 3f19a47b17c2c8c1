#include "backends/tensorrt/facts.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <vector>

namespace edgekit::tensorrt {
namespace {

using nlohmann::json;

constexpr std::string_view rebuild =
    "make it anew for this machine: edgekit bundle rebuild BUNDLE; or where the spec is: edgekit build edgekit.yaml "
    "--target NAME (--host user@board for a board)";
constexpr std::int64_t schema_version = 1;

Error refuse(std::string message) { return {Code::bundle, std::move(message) + "; " + std::string(rebuild)}; }

std::string text(const json& document, const char* key) { return document.at(key).get<std::string>(); }

std::optional<std::string> maybe_text(const json& document, const char* key) {
  return document.at(key).is_null() ? std::nullopt : std::optional(text(document, key));
}

bool option(const json& options, const char* key) { return options.contains(key) && options.at(key).get<bool>(); }

std::optional<Facts> parsed(const json& document) {
  if (!document.is_object() || document.at("schema_version").get<std::int64_t>() != schema_version) return std::nullopt;
  const json& options = document.at("options");
  Facts facts{.engine_sha256 = text(document, "engine_sha256"),
              .flavour = text(document, "flavour"),
              .tensorrt = text(document, "tensorrt"),
              .compute_capability = text(document, "compute_capability"),
              .device = maybe_text(document, "device"),
              .cuda = maybe_text(document, "cuda"),
              .version_compatible = option(options, "version_compatible"),
              .hardware_compatible = option(options, "hardware_compatible"),
              .weight_stripped = option(options, "weight_stripped"),
              .dla_core = std::nullopt};
  if (options.contains("dla_core") && !options.at("dla_core").is_null()) {
    facts.dla_core = options.at("dla_core").get<std::int32_t>();
  }
  return facts;
}

std::string sha256(std::string_view bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, EVP_sha256(), nullptr) != 1) return {};
  constexpr std::string_view digits = "0123456789abcdef";
  std::string made;
  for (unsigned int at = 0; at < size; ++at) {
    made += digits[digest[at] >> 4U];
    made += digits[digest[at] & 15U];
  }
  return made;
}

/// The runs of digits of a version, "10.3.0" as 10, 3, 0; a run that no number holds counts as the largest one.
std::vector<std::uint64_t> numbers(std::string_view version) {
  constexpr std::uint64_t most = 999'999'999;
  std::vector<std::uint64_t> found;
  bool inside = false;
  for (const char letter : version) {
    const bool digit = letter >= '0' && letter <= '9';
    if (digit && !inside) found.push_back(0);
    if (digit) found.back() = std::min(most, found.back() * 10 + static_cast<std::uint64_t>(letter - '0'));
    inside = digit;
  }
  return found;
}

std::string difference(std::string_view what, const std::string& built, const std::string& here) {
  return std::string(what) + ": the engine has " + built + ", this machine " + here;
}

std::vector<std::string> differences(const Facts& facts, const Machine& here) {
  std::vector<std::string> found;
  if (facts.flavour != "tensorrt") {
    found.push_back(difference("library", facts.flavour + " " + facts.tensorrt, "tensorrt " + here.tensorrt));
  } else if (!same_version(facts.tensorrt, here.tensorrt, facts.version_compatible)) {
    found.push_back(difference("TensorRT", facts.tensorrt, here.tensorrt));
  }
  const bool runs_on_any = facts.hardware_compatible && numbers(here.compute_capability) >= numbers("8.0");
  if (facts.compute_capability != here.compute_capability && !runs_on_any) {
    const std::string mine = here.compute_capability.empty() ? "no GPU" : here.compute_capability;
    found.push_back(difference("compute capability", facts.compute_capability, mine));
  } else if (facts.device && *facts.device != here.device && !facts.hardware_compatible) {
    found.push_back(difference("device", *facts.device, here.device));
  }
  if (facts.cuda && numbers(here.cuda) < numbers(*facts.cuda)) {
    const std::string mine = here.cuda.empty() ? "none" : here.cuda;
    found.push_back(difference("CUDA of the driver", *facts.cuda + " or later", mine));
  }
  return found;
}

}  // namespace

Expected<Facts> read_facts(const std::filesystem::path& engine) {
  const std::filesystem::path path = engine.string() + ".json";
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return refuse(engine.string() + ": a foreign engine: " + path.filename().string() +
                  ", which says what it was made with, is not beside it; an engine runs native code, so it is refused");
  }
  const std::string content{std::istreambuf_iterator<char>(file), {}};
  const json document = json::parse(content, nullptr, false);
  if (document.is_discarded()) return refuse(path.string() + ": not JSON");
  try {  // nlohmann's accessors throw; what they miss is one message
    if (std::optional<Facts> facts = parsed(document)) return *std::move(facts);
  } catch (const json::exception&) {
  }
  return refuse(path.string() + ": not the facts of an engine that this edgekit can read");
}

Status check_facts(const std::filesystem::path& engine, std::string_view bytes, const Facts& facts,
                   const Machine& here) {
  const std::string found = sha256(bytes);
  if (found != facts.engine_sha256) {
    return refuse(engine.string() + ": its bytes are not those that " + engine.filename().string() +
                  ".json names (sha256 " + found.substr(0, 12) + ", expected " + facts.engine_sha256.substr(0, 12) +
                  "): it was changed, or is not whole");
  }
  std::string all;
  for (const std::string& one : differences(facts, here)) all += (all.empty() ? "" : "; ") + one;
  if (!all.empty()) return refuse(engine.string() + ": made for another machine: " + all);
  if (facts.weight_stripped) {
    return Error{Code::unsupported, engine.string() +
                                        ": weight_stripped: true, an engine without its weights; the C++ runtime puts "
                                        "none in; build without weight_stripped"};
  }
  return {};
}

bool same_version(std::string_view built, std::string_view here, bool compatible) {
  std::vector<std::uint64_t> made = numbers(built);
  std::vector<std::uint64_t> mine = numbers(here);
  const std::size_t common = std::max<std::size_t>(3, std::min(made.size(), mine.size()));
  if (made.size() > common) made.resize(common);
  if (mine.size() > common) mine.resize(common);
  if (!compatible) return made == mine;
  return !made.empty() && !mine.empty() && made.front() == mine.front() && mine >= made;
}

}  // namespace edgekit::tensorrt
