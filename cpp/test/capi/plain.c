/* The C ABI from C11: no argument, the calls that need no bundle; with one, a frame through its pipeline. */
#include <edgekit/edgekit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUST(what)                                                                     \
  do {                                                                                 \
    if (!(what)) {                                                                     \
      fprintf(stderr, "%d: not so: %s (%s)\n", __LINE__, #what, edgekit_last_error()); \
      return 1;                                                                        \
    }                                                                                  \
  } while (0)

static int without_a_bundle(void) {
  MUST(edgekit_abi_version() >= EDGEKIT_ABI_VERSION);
  MUST(strlen(edgekit_version()) > 0);
  MUST(strcmp(edgekit_last_error(), "") == 0);
  MUST(strcmp(edgekit_status_name(EDGEKIT_OUT_OF_MEMORY), "out_of_memory") == 0);
  MUST(strcmp(edgekit_status_name(-5), "unknown") == 0);

  edgekit_bundle* bundle = (edgekit_bundle*)&bundle;
  MUST(edgekit_bundle_open("no/such/bundle", NULL, &bundle) == EDGEKIT_BUNDLE);
  MUST(bundle == NULL);
  MUST(strstr(edgekit_last_error(), "no/such/bundle") != NULL);
  edgekit_bundle_options options = {0};
  MUST(edgekit_bundle_open("no/such/bundle", &options, &bundle) == EDGEKIT_INVALID_ARGUMENT);
  MUST(edgekit_bundle_open(NULL, NULL, &bundle) == EDGEKIT_INVALID_ARGUMENT);
  MUST(edgekit_bundle_open("x", NULL, NULL) == EDGEKIT_INVALID_ARGUMENT);
  edgekit_bundle_close(NULL);
  MUST(strcmp(edgekit_bundle_name(NULL), "") == 0);
  MUST(edgekit_bundle_class_count(NULL) == 0);

  edgekit_pipeline* pipeline = NULL;
  edgekit_frame frame = EDGEKIT_INIT(edgekit_frame);
  MUST(frame.size == sizeof(edgekit_frame) && frame.data == NULL);
  MUST(edgekit_pipeline_open(NULL, NULL, &pipeline) == EDGEKIT_INVALID_ARGUMENT);
  MUST(edgekit_pipeline_process(NULL, &frame) == EDGEKIT_INVALID_ARGUMENT);
  MUST(edgekit_pipeline_result(NULL) == NULL);
  edgekit_pipeline_close(NULL);
  return 0;
}

static int one_frame(edgekit_pipeline* pipeline) {
  const int height = 48, width = 64;
  uint8_t* pixels = calloc((size_t)(height * width * 3), 1);
  MUST(pixels != NULL);
  edgekit_frame frame = EDGEKIT_INIT(edgekit_frame);
  frame.data = pixels;
  frame.bytes = (size_t)(height * width * 3);
  frame.height = height;
  frame.width = width;
  frame.encoding = EDGEKIT_BGR8;

  frame.stride = 10;
  MUST(edgekit_pipeline_process(pipeline, &frame) == EDGEKIT_FRAME);
  MUST(edgekit_result_kind(edgekit_pipeline_result(pipeline)) == EDGEKIT_NOTHING);
  frame.stride = 0;
  MUST(edgekit_pipeline_process(pipeline, &frame) == EDGEKIT_OK);
  MUST(edgekit_result_kind(edgekit_pipeline_result(pipeline)) != EDGEKIT_NOTHING);

  edgekit_timing timing = EDGEKIT_INIT(edgekit_timing);
  MUST(edgekit_pipeline_timing(pipeline, &timing) == EDGEKIT_OK);
  MUST(timing.engine_ns > 0);
  edgekit_geometry geometry = EDGEKIT_INIT(edgekit_geometry);
  MUST(edgekit_pipeline_geometry(pipeline, &geometry) == EDGEKIT_OK);
  MUST(geometry.original[0] == height && geometry.original[1] == width);
  edgekit_tensor output = EDGEKIT_INIT(edgekit_tensor);
  MUST(edgekit_pipeline_output_count(pipeline) > 0);
  MUST(edgekit_pipeline_output(pipeline, 0, &output) == EDGEKIT_OK);
  MUST(output.data != NULL && output.rank > 0);
  MUST(edgekit_pipeline_output(pipeline, 99, &output) == EDGEKIT_INVALID_ARGUMENT);
  MUST(strlen(edgekit_pipeline_describe(pipeline)) > 0);

  edgekit_source source = EDGEKIT_INIT(edgekit_source);
  source.name = "image";
  MUST(edgekit_pipeline_process_sources(pipeline, &source, 1) == EDGEKIT_INVALID_ARGUMENT);
  source.image = &frame;
  MUST(edgekit_pipeline_process_sources(pipeline, &source, 1) == EDGEKIT_OK);
  free(pixels);
  return 0;
}

static int with_a_bundle(const char* path) {
  edgekit_bundle* bundle = NULL;
  edgekit_pipeline* pipeline = NULL;
  edgekit_bundle_options options = EDGEKIT_INIT(edgekit_bundle_options);
  MUST(edgekit_bundle_open(path, &options, &bundle) == EDGEKIT_OK);
  MUST(strlen(edgekit_bundle_name(bundle)) > 0 && strlen(edgekit_bundle_digest(bundle)) == 64);
  MUST(edgekit_bundle_input_count(bundle) > 0);
  edgekit_tensor input = EDGEKIT_INIT(edgekit_tensor);
  MUST(edgekit_bundle_input(bundle, 0, &input) == EDGEKIT_OK);
  MUST(input.data == NULL && strlen(input.name) > 0);
  MUST(edgekit_bundle_input(bundle, 99, &input) == EDGEKIT_INVALID_ARGUMENT);
  MUST(edgekit_pipeline_open(bundle, "nobody", &pipeline) != EDGEKIT_OK && pipeline == NULL);
  MUST(edgekit_pipeline_open(bundle, NULL, &pipeline) == EDGEKIT_OK);
  edgekit_bundle_close(bundle);  // the pipeline lives on
  const int failed = one_frame(pipeline);
  edgekit_pipeline_close(pipeline);
  return failed;
}

int main(int count, char** arguments) { return count < 2 ? without_a_bundle() : with_a_bundle(arguments[1]); }
