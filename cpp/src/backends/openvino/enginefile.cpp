#include "backends/openvino/enginefile.hpp"

#include <nlohmann/json.hpp>

#include "bundle/hash.hpp"

namespace edgekit::openvino {
namespace {

using nlohmann::json;

constexpr std::string_view magic = "edgekit engine of OpenVINO, form 1\n";
constexpr std::string_view rebuild =
    "make it anew for this machine: edgekit bundle rebuild BUNDLE; or where the spec is: edgekit build edgekit.yaml "
    "--target NAME";
constexpr std::uint64_t most = std::uint64_t{1} << 34U;  // bytes: far more than a model for a processor has

Error refuse(const std::filesystem::path& file, const std::string& why) {
  return {Code::bundle, file.string() + ": " + why + "; " + std::string(rebuild)};
}

/// [name, [sizes; null: dynamic], dtype]. Throws json::exception of anything else.
Expected<TensorSpec> spec_of(const json& fields) {
  const Expected<DType> dtype = dtype_of(fields.at(2).get<std::string>());
  if (!dtype) return dtype.error();
  std::vector<std::int64_t> sizes;
  for (const json& size : fields.at(1)) sizes.push_back(size.is_null() ? -1 : size.get<std::int64_t>());
  if (sizes.size() > Shape::most) return Error{Code::unsupported, "a tensor has more than 8 dimensions"};
  return TensorSpec{fields.at(0).get<std::string>(), Shape(sizes), *dtype};
}

Expected<std::vector<TensorSpec>> specs_of(const json& listed) {
  std::vector<TensorSpec> made;
  for (const json& fields : listed) {
    Expected<TensorSpec> spec = spec_of(fields);
    if (!spec) return spec.error();
    made.push_back(*std::move(spec));
  }
  return made;
}

Expected<EngineFile> checked(const std::filesystem::path& file, const json& facts, std::string blob,
                             std::string_view version) {
  const Expected<std::string> digest = sha256(blob);
  if (!digest) return digest.error();
  if (*digest != facts.at("sha256").get<std::string>()) {
    return refuse(file, "the engine is not the one that was written, or only a part of it");
  }
  if (const auto made = facts.at("openvino").get<std::string>(); made != version) {
    return refuse(file, "the engine was made by OpenVINO " + made + ", and here is " + std::string(version));
  }
  auto inputs = specs_of(facts.at("inputs"));
  if (!inputs) return refuse(file, inputs.error().message);
  auto outputs = specs_of(facts.at("outputs"));
  if (!outputs) return refuse(file, outputs.error().message);
  return EngineFile{facts.at("hint").get<std::string>(), *std::move(inputs), *std::move(outputs), std::move(blob)};
}

}  // namespace

Expected<EngineFile> read_engine(const std::filesystem::path& file, std::string_view version) {
  Expected<std::string> content = read_text(file, most);
  if (!content) return content.error();
  const std::size_t end = content->find('\n', magic.size());
  if (!content->starts_with(magic) || end == std::string::npos) {
    return refuse(file, "not an engine of OpenVINO, or only a part of one");
  }
  const json facts = json::parse(content->begin() + magic.size(), content->begin() + static_cast<std::ptrdiff_t>(end),
                                 nullptr, /*allow_exceptions=*/false);
  content->erase(0, end + 1);
  try {
    return checked(file, facts, *std::move(content), version);
  } catch (const json::exception&) {
    return refuse(file, "its facts are not those of an engine of OpenVINO");
  }
}

}  // namespace edgekit::openvino
