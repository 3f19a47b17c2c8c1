#include "edgekit/bundle.hpp"

#include <new>

#include "bundle/archive.hpp"
#include "bundle/contents.hpp"
#include "bundle/hash.hpp"
#include "bundle/manifest.hpp"
#include "bundle/signature.hpp"
#include "bundle/state.hpp"
#include "bundle/text.hpp"

namespace edgekit {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t largest_contents = std::uint64_t{16} << 20;

Expected<std::optional<std::string>> signature_in(const fs::path& folder) {
  const fs::path file = folder / signature_file;
  std::error_code unknown;
  if (!fs::is_regular_file(file, unknown)) return std::optional<std::string>();
  Expected<std::string> content = read_text(file, largest_signature);
  if (!content) return content.error();
  return std::optional<std::string>(std::move(*content));
}

/// Names of the class ids, where the task has them.
Expected<std::vector<std::string>> classes_of(const nlohmann::json& task, const std::string& file) {
  std::vector<std::string> made;
  const auto found = task.find("classes");
  if (found == task.end() || !found->is_array()) return made;
  for (const nlohmann::json& name : *found) {
    if (!name.is_string()) {
      return Error{Code::bundle, file + ": task.classes: expected a text; made by another edgekit? build it again"};
    }
    made.push_back(name.get<std::string>());
  }
  return made;
}

/// What a bundle says of its engines has to be among the files that were checked.
Status check_engines(const Contents& contents, const Manifest& manifest, const std::string& file) {
  for (const char* role : {"candidate", "control"}) {
    const EngineFile* engine = contents.role(role);
    if (engine != nullptr && !manifest.files().contains(engine->file)) {
      return Error{Code::bundle, file + ": " + role + ".file: " + quoted_name(engine->file) +
                                     " is not in the manifest; do not trust this bundle"};
    }
  }
  return {};
}

}  // namespace

Status Bundle::State::fill(Manifest manifest) {
  if (Status fine = check_files(path, manifest); !fine) return fine;
  const fs::path file = path / "bundle.json";
  const Expected<std::string> text = read_text(file, largest_contents);
  if (!text) return text.error();
  Expected<Contents> parsed = Contents::parse(*text, file.string());
  if (!parsed) return parsed.error();
  if (Status fine = check_engines(*parsed, manifest, file.string()); !fine) return fine;
  Expected<std::vector<std::string>> names = classes_of(parsed->task, file.string());
  if (!names) return names.error();
  contents = std::move(*parsed);
  classes = std::move(*names);
  task = contents.task["kind"].get<std::string>();
  name = contents.name + "-" + contents.target;
  digest = manifest.digest();
  contents.device = std::move(manifest.document.root["device"]);
  return {};
}

Status Bundle::State::open_folder(const BundleOptions& options) {
  path = given;
  Expected<Manifest> manifest = Manifest::read(path);
  if (!manifest) return manifest.error();
  if (options.trusted_key) {
    const Expected<std::optional<std::string>> signature = signature_in(path);
    if (!signature) return signature.error();
    Status signed_by = check_signature(manifest->content, *signature, *options.trusted_key, path.string());
    if (!signed_by) return signed_by;
  }
  return fill(std::move(*manifest));
}

Status Bundle::State::open_file(const BundleOptions& options) {
  Expected<Archive> archive = Archive::open(given);
  if (!archive) return archive.error();
  if (options.trusted_key) {  // before anything of a stranger is written
    const Expected<std::optional<std::string>> signature = archive->signature();
    if (!signature) return signature.error();
    Status signed_by = check_signature(archive->manifest().content, *signature, *options.trusted_key, given.string());
    if (!signed_by) return signed_by;
  }
  Expected<std::unique_ptr<Unpacked>> made = archive->unpack();
  if (!made) return made.error();
  unpacked = std::move(*made);
  path = unpacked->path();
  return fill(std::move(*archive).manifest());
}

Status Bundle::State::open(const BundleOptions& options) {
  std::error_code unknown;
  return std::filesystem::is_regular_file(given, unknown) ? open_file(options) : open_folder(options);
}

Expected<Bundle> Bundle::open(const fs::path& path, const BundleOptions& options) {
  try {
    auto state = std::make_unique<State>();
    state->given = path;
    if (Status opened = state->open(options); !opened) return opened.error();
    return Bundle(std::move(state));
  } catch (const std::bad_alloc&) {
    return failed(Code::out_of_memory, "the bundle cannot be opened", "no memory");
  } catch (const std::exception& error) {  // nothing else is known to throw; a status all the same
    return failed(Code::bundle, "the bundle cannot be opened", error.what());
  }
}

Bundle::Bundle(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
Bundle::Bundle(Bundle&&) noexcept = default;
Bundle& Bundle::operator=(Bundle&&) noexcept = default;
Bundle::~Bundle() = default;

const fs::path& Bundle::path() const noexcept { return state_->path; }
const std::string& Bundle::name() const noexcept { return state_->name; }
const std::string& Bundle::digest() const noexcept { return state_->digest; }
const std::string& Bundle::precision() const noexcept { return state_->contents.candidate.precision; }
const std::string& Bundle::backend() const noexcept { return state_->contents.backend; }
const EngineOptions& Bundle::engine_options() const noexcept { return state_->contents.engine; }
std::span<const TensorSpec> Bundle::inputs() const noexcept { return state_->contents.inputs; }
std::span<const TensorSpec> Bundle::outputs() const noexcept { return state_->contents.outputs; }
std::span<const std::string> Bundle::classes() const noexcept { return state_->classes; }
const std::string& Bundle::task() const noexcept { return state_->task; }
const Contents& Bundle::contents() const noexcept { return state_->contents; }

}  // namespace edgekit
