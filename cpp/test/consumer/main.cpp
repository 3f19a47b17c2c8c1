#include <cstdio>
#include <edgekit/pipeline.hpp>
#include <vector>

int main(int count, char** arguments) {
  if (count != 2) return 2;
  edgekit::Expected<edgekit::Pipeline> pipeline = edgekit::Pipeline::open(arguments[1]);
  if (!pipeline) {
    std::fprintf(stderr, "%s: %s\n", edgekit::name_of(pipeline.error().code), pipeline.error().message.c_str());
    return 1;
  }
  const std::vector<std::uint8_t> pixels(720 * 1280 * 3, 127);  // what a camera would give
  edgekit::Frame frame{.data = pixels.data(), .bytes = pixels.size(), .height = 720, .width = 1280};
  edgekit::Result result;  // keeps its memory from frame to frame
  for (int number = 0; number < 3; ++number) {
    if (const edgekit::Status done = pipeline->process(frame, result); !done) {
      std::fprintf(stderr, "%s\n", done.error().message.c_str());
      return 1;
    }
  }
  if (const auto* mask = result.get<edgekit::LabelMap>()) std::printf("a mask of %d x %d\n", mask->height, mask->width);
  if (const auto* found = result.get<edgekit::Detections>()) std::printf("%zu objects\n", found->boxes.size());
}
