// Classification: the probability of each class of a whole frame.
#include <vector>

#include "postprocess/tasks.hpp"
#include "postprocess/vectors.hpp"

namespace edgekit {
namespace {

class Classification final : public Decoder {
 public:
  Classification(Scores scores, std::size_t classes) : scores_(std::move(scores)), shares_(classes) {}

  Status decode(std::span<const TensorView> outputs, const Geometry&, Result& result) override {
    if (Status read = scores_.probabilities(outputs, shares_); !read) return read;
    result.reuse<ClassScores>().probabilities.assign(shares_.begin(), shares_.end());
    return {};
  }

 private:
  Scores scores_;
  std::vector<double> shares_;
};

}  // namespace

Made make_classification(Section section, std::span<const TensorSpec> outputs) {
  constexpr std::size_t most = 4096;
  section.ignore({"top_k"});
  const std::string output = section.text("output");
  const std::size_t classes = section.names("classes", 2, most).size();
  const Activation activation = activation_of(section);
  if (activation == Activation::sigmoid && classes != 2) {
    section.refuse("activation", "sigmoid tells 2 classes apart, found " + std::to_string(classes) + "; use softmax");
  }
  if (Status fits = section.finish(); !fits) return fits.error();
  Expected<Scores> scores = Scores::create(output, classes, activation, outputs);
  if (!scores) return scores.error();
  return {std::make_unique<Classification>(std::move(*scores), classes)};
}

}  // namespace edgekit
