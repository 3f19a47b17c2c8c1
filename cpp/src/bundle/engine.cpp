// Which engines of a bundle may run on this machine.
#include <unistd.h>

#include <exception>
#include <new>
#include <set>

#include "bundle/json.hpp"
#include "bundle/state.hpp"
#include "bundle/text.hpp"

namespace edgekit {
namespace {

using Json = nlohmann::json;

const Json& fact(const Json& facts, const std::string& key) {
  static const Json missing;
  const auto found = facts.find(key);
  return found == facts.end() ? missing : *found;
}

/// Which fact of this machine is not that of the one that the engines are for; empty: they may run here.
std::string foreign(const Json& there, const Json& here, const Backend& backend) {
  std::set<std::string> keys;
  for (const Json* facts : {&there, &here}) {
    for (const auto& [key, unused] : facts->items()) keys.insert(key);
  }
  for (const std::string& key : keys) {
    const Json& built = fact(there, key);
    const Json& found = fact(here, key);
    const bool same =
        backend.same_fact == nullptr ? built == found : backend.same_fact(key, built.dump(), found.dump());
    if (!same) {
      return "the engine was built for " + key + " " + python_repr(built) + ", this machine has " + python_repr(found);
    }
  }
  return {};
}

/// A word of a shell's command line.
std::string shell_word(const std::string& text) {
  static constexpr std::string_view plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789@%+=:,./-_";
  if (!text.empty() && text.find_first_not_of(plain) == text.npos) return text;
  std::string made = "'";
  for (const char one : text) made += one == '\'' ? std::string("'\"'\"'") : std::string(1, one);
  return made + "'";
}

std::string rebuild_command(const std::filesystem::path& given) {
  std::error_code unknown;
  const std::filesystem::path parent = std::filesystem::absolute(given, unknown).parent_path();
  const bool writable = access(parent.c_str(), W_OK) == 0;
  return "edgekit bundle rebuild " + shell_word(given.string()) +
         (writable ? "" : " --out " + given.filename().string());
}

}  // namespace

Expected<std::unique_ptr<Engine>> Bundle::engine(std::string_view role) const {
  try {
    const Contents& contents = state_->contents;
    const std::string given = state_->given.string();
    const EngineFile* file = contents.role(role);
    if (file == nullptr) {
      const bool known = role == "candidate" || role == "control";
      return Error{known ? Code::bundle : Code::invalid_argument, given + ": it has no engine of the role '" +
                                                                      std::string(role) + "'; it has candidate" +
                                                                      (contents.control ? " and control" : "")};
    }
    const Expected<const Backend*> found = edgekit::backend(contents.backend);
    if (!found) return found.error();
    const Expected<std::string> facts = (*found)->fingerprint(contents.engine);
    if (!facts) return facts.error();
    const Expected<JsonDocument> here = parse_json(*facts);
    if (!here || !here->root.is_object()) {
      return Error{Code::unsupported, "the backend '" + contents.backend + "' does not say what it is"};
    }
    if (const std::string reason = foreign(contents.device, here->root, **found); !reason.empty()) {
      return Error{Code::bundle, given + ": " + reason +
                                     "; make its engines anew for this machine: " + rebuild_command(state_->given)};
    }
    return (*found)->open(state_->path / file->file, contents.engine);
  } catch (const std::bad_alloc&) {
    return failed(Code::out_of_memory, "the engine cannot be loaded", "no memory");
  } catch (const std::exception& error) {
    return failed(Code::bundle, "the engine cannot be loaded", error.what());
  }
}

}  // namespace edgekit
