#include "bundle/manifest.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <set>
#include <vector>

#include "bundle/hash.hpp"
#include "bundle/json.hpp"
#include "bundle/text.hpp"
#include "core/is_text.hpp"

namespace edgekit {
namespace {

using Json = nlohmann::json;
using Names = std::set<std::string>;

Error wrong(const std::string& what) { return {Code::bundle, what}; }

/// The value of a key, or null.
const Json& value_of(const Json& mapping, const char* key) {
  static const Json none;
  const auto found = mapping.find(key);
  return found == mapping.end() ? none : *found;
}

/// Python's int: true and false are numbers there.
bool whole(const Json& value) { return value.is_number_integer() || value.is_boolean(); }

/// 1 or 2; 0: neither. Python takes 2.0 and true for numbers too.
int version_of(const Json& value) {
  if (value.is_boolean()) return value.get<bool>() ? 1 : 0;
  if (!value.is_number()) return 0;
  const auto number = value.get<double>();
  return number == 1.0 ? 1 : number == 2.0 ? 2 : 0;
}

bool is_size(const Json& value) { return value.is_number_unsigned() || value.is_boolean(); }

Status check_sizes(const std::string& file, const Json& sizes, const Json& files) {
  if (sizes.is_null()) return {};
  const auto listed = [&](const auto& entry) { return files.contains(entry.key()) && is_size(entry.value()); };
  bool good = sizes.is_object() && sizes.size() == files.size();
  if (good) {
    for (const auto& entry : sizes.items()) good = good && listed(entry);
  }
  if (good) return {};
  return wrong(file + ": 'sizes' does not give every file's size in bytes; build the bundle again");
}

Status check_evaluation(const std::string& file, const Json& found) {
  if (found.is_null()) return {};
  const bool fits = found.is_object() && found.size() == 3 && value_of(found, "format").is_string() &&
                    whole(value_of(found, "frames")) && value_of(found, "dataset_hash").is_string();
  if (fits) return {};
  return wrong(file + ": 'evaluation' is " + python_repr(found) +
               ", expected format, frames, dataset_hash; build the bundle again");
}

Status check_parents(const std::string& file, const Json& document) {
  const auto found = document.find("parents");
  if (found == document.end()) return {};
  const auto good = [](const Json& parent) {
    return parent.is_object() && value_of(parent, "digest").is_string() && value_of(parent, "device").is_object() &&
           value_of(parent, "tools").is_object();
  };
  if (found->is_array() && std::all_of(found->begin(), found->end(), good)) return {};
  return wrong(file + ": 'parents' is no list of digest, device, tools; build the bundle again");
}

Status check_parts(const std::string& file, const Json& document, int version) {
  for (const char* key : {"files", "device", "sizes"}) {
    if (std::string_view(key) == "sizes" && version == 1) continue;
    if (!value_of(document, key).is_object()) {
      return wrong(file + ": '" + key + "' is not a mapping; build the bundle again");
    }
  }
  if (Status fine = check_sizes(file, value_of(document, "sizes"), document["files"]); !fine) return fine;
  if (Status fine = check_evaluation(file, value_of(document, "evaluation")); !fine) return fine;
  return check_parents(file, document);
}

struct CloseFolder {
  void operator()(DIR* folder) const noexcept { closedir(folder); }
};

/// What is right in a folder: files and links into `found`, folders into `folders`, all as paths from the root.
Status list(const std::string& root, const std::string& inside, Names& found, std::vector<std::string>& folders) {
  const std::string place = inside.empty() ? root : root + "/" + inside;
  const std::unique_ptr<DIR, CloseFolder> opened(opendir(place.c_str()));
  if (!opened) return refused(place, "cannot be read", {errno, std::generic_category()});
  for (;;) {
    errno = 0;
    const dirent* entry = readdir(opened.get());
    if (entry == nullptr && errno != 0) return refused(place, "cannot be read", {errno, std::generic_category()});
    if (entry == nullptr) return {};
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    struct stat facts{};
    if (fstatat(dirfd(opened.get()), entry->d_name, &facts, AT_SYMLINK_NOFOLLOW) != 0) {
      return refused(place + "/" + entry->d_name, "cannot be read", {errno, std::generic_category()});
    }
    std::string path = inside.empty() ? std::string(name) : inside + "/" + entry->d_name;
    if (S_ISDIR(facts.st_mode)) {
      folders.push_back(std::move(path));
    } else if (S_ISREG(facts.st_mode) || S_ISLNK(facts.st_mode)) {
      found.insert(std::move(path));
    }
  }
}

/// Files and links below a folder; linked folders are not entered. The standard library's own iterator ends the process
/// where there is no memory for it.
Expected<Names> present_in(const std::filesystem::path& folder) {
  Names found;
  std::vector<std::string> folders{""};
  while (!folders.empty()) {
    const std::string inside = std::move(folders.back());
    folders.pop_back();
    if (Status listed = list(folder.string(), inside, found, folders); !listed) return listed.error();
  }
  found.erase(std::string(manifest_file));
  found.erase(std::string(signature_file));
  return found;
}

Error named(const std::filesystem::path& folder, const std::string& name, const char* problem) {
  return wrong(folder.string() + ": " + name + " " + problem + "; build or copy the bundle again");
}

Error edited(const std::filesystem::path& folder, const std::string& name) {
  return named(folder, name, "was truncated or edited (hash differs)");
}

}  // namespace

const nlohmann::json* Manifest::sizes() const {
  const Json& found = value_of(document.root, "sizes");
  return found.is_null() ? nullptr : &found;
}

Expected<Manifest> Manifest::parse(std::string content, const std::string& file) {
  Expected<JsonDocument> parsed = parse_json(content);
  if (!parsed) {
    return wrong(file + ": damaged (" + parsed.error().message + "); build or copy the bundle again");
  }
  const Json& root = parsed->root;
  const Json& format = root.is_object() ? value_of(root, "format") : root;
  if (!root.is_object() || !is_text(format, "edgekit-bundle")) {
    return wrong(file + ": not a manifest of an edgekit bundle");
  }
  const Json& said = value_of(root, "version");
  const int version = version_of(said);
  if (version == 0) {
    return wrong(file + ": bundle version " + python_repr(said) + "; this edgekit reads 1 and 2: build it again");
  }
  const Expected<std::string> body = canonical_json(content, "digest");
  if (!body) return body.error();
  const Expected<std::string> digest = sha256(*body);
  if (!digest) return digest.error();
  if (value_of(root, "digest") != *digest) {
    return wrong(file + ": the manifest was edited (its digest does not match); build or copy the bundle again");
  }
  if (Status fine = check_parts(file, root, version); !fine) return fine.error();
  return Manifest{std::move(*parsed), std::move(content)};
}

Expected<Manifest> Manifest::read(const std::filesystem::path& folder) {
  std::error_code unknown;
  if (!std::filesystem::exists(folder, unknown)) {
    return wrong(folder.string() + ": no such bundle; make one with: edgekit build edgekit.yaml --target NAME");
  }
  const std::filesystem::path file = folder / manifest_file;
  if (!std::filesystem::is_regular_file(file, unknown)) {
    return wrong(folder.string() + ": not a bundle (no manifest.json); edgekit build prints the folder it wrote");
  }
  Expected<std::string> content = read_text(file, largest_manifest);
  if (!content) return content.error();
  return parse(std::move(*content), file.string());
}

Status check_files(const std::filesystem::path& folder, const Manifest& manifest) {
  const Expected<Names> found = present_in(folder);
  if (!found) return found.error();
  const Names& present = *found;
  const Json& wanted = manifest.files();
  for (const auto& [name, digest] : wanted.items()) {  // in the order of their names
    if (!present.contains(name)) return named(folder, name, "is missing");
  }
  for (const std::string& name : present) {
    if (!wanted.contains(name)) return named(folder, name, "is not in the manifest");
  }
  for (const auto& [name, digest] : wanted.items()) {
    const Expected<std::string> hash = sha256_file(folder / name);
    if (!hash && hash.error().code != Code::bundle) return hash.error();
    if (!hash || digest != *hash) return edited(folder, name);
  }
  return {};
}

}  // namespace edgekit
