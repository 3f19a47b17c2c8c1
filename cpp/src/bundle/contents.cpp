#include "bundle/contents.hpp"

#include <algorithm>
#include <set>

#include "bundle/json.hpp"

namespace edgekit {
namespace {

using Json = nlohmann::json;
using Keys = std::vector<std::string_view>;

/// A mapping of bundle.json and where it stands; keeps the first thing that is wrong with it.
class Section {
 public:
  Section(const Json& json, std::string place, std::string file)
      : json_(json), place_(std::move(place)), file_(std::move(file)) {
    if (!json_.is_object()) fail("", "expected a mapping, {key: value}");
  }

  /// No keys but these.
  void only(const Keys& known) {
    if (!good()) return;
    for (const auto& [key, unused] : json_.items()) {
      if (std::find(known.begin(), known.end(), key) == known.end()) return fail(key, "unknown key");
    }
  }

  /// Null where the key is missing, or null.
  const Json* optional(const std::string& key) {
    if (!good()) return nullptr;
    const auto found = json_.find(key);
    return found == json_.end() || found->is_null() ? nullptr : &*found;
  }

  const Json* required(const std::string& key) {
    const Json* found = optional(key);
    if (good() && found == nullptr) {
      fail(key, json_.contains(key) ? "expected something, found null" : "this key is missing");
    }
    return found;
  }

  const Json* mapping(const std::string& key) {
    return typed(required(key), key, &Json::is_object, "a mapping, {key: value}");
  }
  const Json* list(const std::string& key) { return typed(required(key), key, &Json::is_array, "a list, [a, b]"); }
  std::string text(const std::string& key) { return text_of(required(key), key, {}); }
  std::string text_or(const std::string& key, const std::string& otherwise) {
    const Json* found = optional(key);
    return found == nullptr ? otherwise : text_of(found, key, otherwise);
  }
  bool flag_or(const std::string& key, bool otherwise) {
    const Json* found = typed(optional(key), key, &Json::is_boolean, "true or false");
    return found == nullptr ? otherwise : found->get<bool>();
  }
  /// A whole number from `least` on that 32 bits can hold.
  std::int32_t number_or(const std::string& key, std::int32_t otherwise, std::int32_t least) {
    const Json* found = optional(key);
    return found == nullptr ? otherwise : number(*found, key, least);
  }
  std::int32_t number(const Json& found, const std::string& key, std::int32_t least) {
    constexpr std::int32_t most = std::numeric_limits<std::int32_t>::max();
    if (!found.is_number_integer()) {
      fail(key, "expected a whole number");
    } else if (found < least) {
      fail(key, "expected " + std::to_string(least) + " or more");
    } else if (found > most) {
      fail(key, "expected " + std::to_string(most) + " or less");
    } else {
      return found.get<std::int32_t>();
    }
    return least;
  }

  Section inside(const Json& json, const std::string& key) const { return {json, at(key), file_}; }

  bool good() const { return !wrong_; }
  void fail(const std::string& key, const std::string& what, Code code = Code::bundle) {
    if (wrong_) return;
    wrong_ = Error{code, file_ + ": " + at(key) + ": " + what + "; made by another edgekit? build it again"};
  }
  void take(const Section& other) {
    if (!wrong_) wrong_ = other.wrong_;
  }
  const std::optional<Error>& wrong() const { return wrong_; }

 private:
  std::string at(const std::string& key) const {
    return key.empty() || place_.empty() ? place_ + key : place_ + "." + key;
  }
  const Json* typed(const Json* found, const std::string& key, bool (Json::*is)() const noexcept, const char* noun) {
    if (found == nullptr || (found->*is)()) return found;
    fail(key, std::string("expected ") + noun);
    return nullptr;
  }
  std::string text_of(const Json* found, const std::string& key, const std::string& otherwise) {
    found = typed(found, key, &Json::is_string, "a text");
    return found == nullptr ? otherwise : found->get<std::string>();
  }

  const Json& json_;
  std::string place_;
  std::string file_;
  std::optional<Error> wrong_;
};

/// One entry of `inputs` or `outputs`.
TensorSpec tensor(Section& section) {
  section.only({"name", "shape", "dtype"});
  TensorSpec made{section.text("name"), {}, DType::float32};
  const Json* shape = section.list("shape");
  if (shape == nullptr) return made;
  if (shape->size() > Shape::most) {
    section.fail("shape", "this library has tensors of up to 8 dimensions", Code::unsupported);
    return made;
  }
  std::vector<std::int64_t> sizes;
  for (const Json& size : *shape) {
    const bool known = size.is_number_unsigned() && size <= std::numeric_limits<std::int64_t>::max();
    if (!known && !size.is_null()) section.fail("shape", "expected sizes of 0 or more, or null");
    sizes.push_back(known ? size.get<std::int64_t>() : -1);
  }
  made.shape = Shape(sizes);
  const Expected<DType> dtype = dtype_of(section.text_or("dtype", "float32"));
  if (dtype) {
    made.dtype = *dtype;
  } else {
    section.fail("dtype", dtype.error().message, dtype.error().code);
  }
  return made;
}

std::vector<TensorSpec> tensors(Section& whole, const std::string& key) {
  std::vector<TensorSpec> made;
  const Json* list = whole.list(key);
  if (list == nullptr) return made;
  std::set<std::string> names;
  for (std::size_t index = 0; index < list->size() && whole.good(); ++index) {
    Section one = whole.inside((*list)[index], key + "." + std::to_string(index));
    made.push_back(tensor(one));
    whole.take(one);
    if (!names.insert(made.back().name).second) whole.fail(key, "'" + made.back().name + "' is there twice");
  }
  return made;
}

EngineFile engine_file(Section& section) {
  section.only({"file", "model", "precision", "golden", "preprocess"});
  EngineFile made{section.text("file"), section.text("precision"), section.text_or("golden", "golden.npz"), {}};
  section.text("model");
  if (section.optional("preprocess") != nullptr) section.mapping("preprocess");
  return made;
}

std::optional<EngineFile> engine_file_of(Section& whole, const std::string& key, bool needed) {
  const Json* found = needed ? whole.required(key) : whole.optional(key);
  if (found == nullptr) return std::nullopt;
  Section section = whole.inside(*found, key);
  EngineFile made = engine_file(section);
  whole.take(section);
  return made;
}

/// The keys of a backend whose every key is known here; empty: it is another one's, which looks itself.
Keys keys_of(const std::string& backend) {
  if (backend == "ort" || backend == "native")
    return {"engine", "precision", "profile", "threads", "provider", "pin", "spinning", "operators"};
  return {};
}

void read_engine(Section& whole, Contents& made) {
  const Json* found = whole.required("engine");
  if (found == nullptr) return;
  Section section = whole.inside(*found, "engine");
  made.backend = section.text("engine");
  if (const Keys known = keys_of(made.backend); !known.empty()) section.only(known);
  made.engine.threads = section.number_or("threads", 1, 1);
  made.engine.spinning = section.flag_or("spinning", false);
  section.flag_or("operators", true);  // of the build: what an engine uses stands in the manifest
  made.engine.provider = section.text_or("provider", "cpu");
  made.engine.cuda_graph = section.flag_or("cuda_graph", true);
  if ((made.backend == "ort" || made.backend == "native") && made.engine.provider != "cpu" &&
      made.engine.provider != "cuda") {
    section.fail("provider", "expected 'cpu' or 'cuda'");
  }
  if (section.optional("pin") != nullptr) {
    if (const Json* pin = section.list("pin")) {
      for (const Json& one : *pin) made.engine.pin.push_back(section.number(one, "pin", 0));
    }
  }
  const std::vector<std::int32_t>& pin = made.engine.pin;
  if (std::set<std::int32_t>(pin.begin(), pin.end()).size() != pin.size()) {
    section.fail("pin", "pin takes different CPU numbers >= 0");
  } else if (!pin.empty() && pin.size() != static_cast<std::size_t>(made.engine.threads)) {
    section.fail("", "pin names " + std::to_string(pin.size()) + " CPUs for " + std::to_string(made.engine.threads) +
                         " threads; give one CPU per thread");
  }
  whole.take(section);
}

void check_sections(Section& whole) {
  if (const Json* preprocess = whole.mapping("preprocess")) {
    for (const auto& [name, section] : preprocess->items()) {
      if (!section.is_object()) whole.fail("preprocess." + name, "expected a mapping, {key: value}");
    }
  }
  if (const Json* task = whole.mapping("task")) {
    Section section = whole.inside(*task, "task");
    section.text("kind");
    whole.take(section);
  }
  whole.mapping("kpis");
  if (whole.optional("parity") != nullptr) whole.mapping("parity");
}

/// The parts of a good document that others read; moved, see Document of json.hpp.
void take_sections(Json& root, Contents& made) {
  made.preprocess = std::move(root["preprocess"]);
  made.task = std::move(root["task"]);
  const auto own = [&root](const char* role, EngineFile& engine) {
    const auto found = root[role].find("preprocess");
    if (found != root[role].end() && !found->is_null()) engine.preprocess.emplace(std::move(*found));
  };
  own("candidate", made.candidate);
  if (made.control) own("control", *made.control);
}

}  // namespace

Expected<Contents> Contents::parse(std::string_view content, const std::string& file) {
  Expected<JsonDocument> document = parse_json(content);
  if (!document) {
    return Error{Code::bundle,
                 file + ": not valid JSON: " + document.error().message + "; made by another edgekit? build it again"};
  }
  Section whole(document->root, "", file);
  whole.only({"name", "target", "inputs", "outputs", "preprocess", "task", "evaluation", "kpis", "parity", "engine",
              "candidate", "control"});
  Contents made;
  made.name = whole.text("name");
  made.target = whole.text("target");
  made.inputs = tensors(whole, "inputs");
  made.outputs = tensors(whole, "outputs");
  check_sections(whole);
  read_engine(whole, made);
  if (std::optional<EngineFile> found = engine_file_of(whole, "candidate", true)) made.candidate = std::move(*found);
  made.control = engine_file_of(whole, "control", false);
  if (whole.wrong()) return *whole.wrong();
  take_sections(document->root, made);
  return made;
}

Contents::~Contents() {
  for (Json* one : {&preprocess, &task, &device}) dismantle(*one);
  if (candidate.preprocess) dismantle(*candidate.preprocess);
  if (control && control->preprocess) dismantle(*control->preprocess);
}

const EngineFile* Contents::role(std::string_view which) const noexcept {
  if (which == "candidate") return &candidate;
  return which == "control" && control ? &*control : nullptr;
}

}  // namespace edgekit
