// Several tasks on the named outputs of one model.
#include <cctype>
#include <string>
#include <vector>

#include "core/is_text.hpp"
#include "postprocess/tasks.hpp"

namespace edgekit {
namespace {

bool of_a_word(char letter) { return std::isalnum(static_cast<unsigned char>(letter)) != 0 || letter == '_'; }

/// An error inside says which of the tasks it is about, and points at its section: task.x becomes task.tasks.NAME.x.
Error inside(const std::string& name, Error error) {
  static const std::string key = "task.";
  const std::string& text = error.message;
  std::string made;
  std::size_t start = 0;
  for (std::size_t at = text.find(key); at != std::string::npos; at = text.find(key, at + 1)) {
    const std::size_t end = at + key.size();
    if ((at > 0 && of_a_word(text[at - 1])) || end >= text.size() || !of_a_word(text[end])) continue;
    made += text.substr(start, end - start) + "tasks." + name + ".";
    start = end;
  }
  made += text.substr(start);
  error.message = start > 0 ? std::move(made) : name + ": " + text;
  return error;
}

struct Member {
  std::string name;
  std::unique_ptr<Decoder> decoder;
};

class MultiTask final : public Decoder {
 public:
  explicit MultiTask(std::vector<Member> members) : members_(std::move(members)) {}

  Status decode(std::span<const TensorView> outputs, const Geometry& geometry, Result& result) override {
    Several& made = result.reuse<Several>();
    made.parts.resize(members_.size());
    for (std::size_t i = 0; i < members_.size(); ++i) {
      if (made.parts[i].name != members_[i].name) made.parts[i].name = members_[i].name;
      if (Status done = members_[i].decoder->decode(outputs, geometry, made.parts[i].result); !done) {
        return inside(members_[i].name, std::move(done).error());
      }
    }
    return {};
  }

 private:
  std::vector<Member> members_;
};

}  // namespace

Made make_multitask(Section section, std::span<const TensorSpec> outputs) {
  section.ignore({"truth", "loss_weights"});
  const nlohmann::json* tasks = section.find("tasks");
  if (tasks == nullptr || !tasks->is_object() || tasks->empty()) {
    section.expect("tasks", "a task's section under each name");
  }
  if (Status fits = section.finish(); !fits) return fits.error();
  std::vector<Member> members;
  for (const auto& [name, part] : tasks->items()) {
    if (part.is_object() && part.contains("kind") && is_text(part["kind"], "multitask")) {
      return Error{Code::unsupported,
                   "task.tasks." + name + ".kind: found \"multitask\"; expected another task: they do not nest"};
    }
    Made decoder = Decoder::create(part, outputs);
    if (!decoder) return inside(name, std::move(decoder).error());
    members.push_back({name, std::move(*decoder)});
  }
  return {std::make_unique<MultiTask>(std::move(members))};
}

}  // namespace edgekit
