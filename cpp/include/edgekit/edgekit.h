/** \file
 * The C ABI: the same runtime for C, and for what loads a library by name.
 *
 * - Nothing throws. A function that can fail returns an edgekit_status; edgekit_last_error() has the words.
 * - Handles are opaque. What *_open gives, *_close takes; closing a null pointer does nothing.
 * - A struct begins with its own size, which the caller sets (EDGEKIT_INIT does), so that it can grow: an older caller
 *   gets the fields it knows, and a field that this library does not know has to be zero.
 * - Borrowed pointers are the library's; each function says how long they are valid.
 * - A handle belongs to one thread at a time, except a bundle, which any thread may ask; different handles run side by
 *   side.
 * - Text is UTF-8 and ends with a zero; a name that a null handle is asked for is "".
 */
#ifndef EDGEKIT_EDGEKIT_H_
#define EDGEKIT_EDGEKIT_H_

#include <stddef.h>
#include <stdint.h>

/** Grows when a function or a field is added; what there is keeps its meaning. Compare with edgekit_abi_version(). */
#define EDGEKIT_ABI_VERSION 1

/** The most dimensions of a tensor. */
#define EDGEKIT_MOST_DIMENSIONS 8

/** Marks what the library exports. */
#if defined(__GNUC__)
#define EDGEKIT_API __attribute__((visibility("default")))
#else
#define EDGEKIT_API
#endif

#ifdef __cplusplus
/** No function throws; C has no word for it. */
#define EDGEKIT_NOEXCEPT noexcept
/** A struct that is zero and says its size: edgekit_frame frame = EDGEKIT_INIT(edgekit_frame); */
#define EDGEKIT_INIT(type)    \
  ([] {                       \
    type made{};              \
    made.size = sizeof(type); \
    return made;              \
  }())
extern "C" {
#else
#define EDGEKIT_NOEXCEPT
#define EDGEKIT_INIT(type) ((type){.size = sizeof(type)})
#endif

/** How a call ended: one of the numbers below, which are those of edgekit::Code. */
typedef int32_t edgekit_status;

enum {
  EDGEKIT_OK = 0,
  EDGEKIT_INVALID_ARGUMENT = 1,    /**< the call is wrong: a null pointer, a struct without its size, a wrong index */
  EDGEKIT_BUNDLE = 2,              /**< no bundle; truncated, edited, not signed as asked, or for another runtime */
  EDGEKIT_UNSUPPORTED = 3,         /**< the bundle asks for what this build has not; the text names it */
  EDGEKIT_MISSING_REQUIREMENT = 4, /**< this machine lacks a library, device or permission */
  EDGEKIT_FRAME = 5,               /**< a frame does not fit: encoding, size, stride, truncated data */
  EDGEKIT_TENSOR = 6,              /**< an engine's input or output has a wrong shape, dtype, or holds NaN */
  EDGEKIT_ENGINE = 7,              /**< the runtime failed while it computed */
  EDGEKIT_OUT_OF_MEMORY = 8,       /**< what was open stays open */
  EDGEKIT_NOT_READY = 9,           /**< the call comes too early or too late */
  EDGEKIT_TIMEOUT = 10             /**< nothing came in time */
};

/** EDGEKIT_ABI_VERSION of the library that is loaded. At least that of the header: all that the header has is there. */
EDGEKIT_API uint32_t edgekit_abi_version(void) EDGEKIT_NOEXCEPT;
/** Version of the library, "0.1.0"; valid for ever. */
EDGEKIT_API const char* edgekit_version(void) EDGEKIT_NOEXCEPT;
/** Name of a status, "out_of_memory"; "unknown" of another number; valid for ever. */
EDGEKIT_API const char* edgekit_status_name(edgekit_status status) EDGEKIT_NOEXCEPT;
/** One line on the last call of this thread that failed; "" before the first. Valid until the next one that fails. */
EDGEKIT_API const char* edgekit_last_error(void) EDGEKIT_NOEXCEPT;

/* ---- tensors ---- */

/** Element types. */
enum {
  EDGEKIT_FLOAT32 = 0,
  EDGEKIT_FLOAT64 = 1,
  EDGEKIT_FLOAT16 = 2,
  EDGEKIT_INT8 = 3,
  EDGEKIT_UINT8 = 4,
  EDGEKIT_INT16 = 5,
  EDGEKIT_UINT16 = 6,
  EDGEKIT_INT32 = 7,
  EDGEKIT_UINT32 = 8,
  EDGEKIT_INT64 = 9,
  EDGEKIT_UINT64 = 10,
  EDGEKIT_BOOL = 11
};

/** A tensor: contiguous, C order. */
typedef struct edgekit_tensor {
  size_t size;                            /**< sizeof(edgekit_tensor) */
  const char* name;                       /**< borrowed, like data; null of one that has none */
  const void* data;                       /**< null where only the description is asked for */
  size_t bytes;                           /**< of data */
  int32_t dtype;                          /**< EDGEKIT_FLOAT32 ... */
  int32_t rank;                           /**< dimensions in shape */
  int64_t shape[EDGEKIT_MOST_DIMENSIONS]; /**< outermost first; -1 is dynamic */
} edgekit_tensor;

/* ---- bundles ---- */

/** A bundle whose manifest, sizes, hashes and, when asked, signature were checked. */
typedef struct edgekit_bundle edgekit_bundle;

/** How to open a bundle. */
typedef struct edgekit_bundle_options {
  size_t size;             /**< sizeof(edgekit_bundle_options) */
  const char* trusted_key; /**< PEM file of the Ed25519 public key that must have signed it; null: not looked at */
} edgekit_bundle_options;

/** Check and open a folder, or a single .edgekit file. `options` may be null. After an error `*bundle` is null. */
EDGEKIT_API edgekit_status edgekit_bundle_open(const char* path, const edgekit_bundle_options* options,
                                               edgekit_bundle** bundle) EDGEKIT_NOEXCEPT;
/** Pipelines of it live on. */
EDGEKIT_API void edgekit_bundle_close(edgekit_bundle* bundle) EDGEKIT_NOEXCEPT;
/** Model and target, "camvid-seg-cpu"; valid until the bundle is closed, like the next four. */
EDGEKIT_API const char* edgekit_bundle_name(const edgekit_bundle* bundle) EDGEKIT_NOEXCEPT;
/** Its identity: SHA-256 over the manifest, hexadecimal. */
EDGEKIT_API const char* edgekit_bundle_digest(const edgekit_bundle* bundle) EDGEKIT_NOEXCEPT;
/** Precision of the candidate, "int8". */
EDGEKIT_API const char* edgekit_bundle_precision(const edgekit_bundle* bundle) EDGEKIT_NOEXCEPT;
/** "ort", "trt". */
EDGEKIT_API const char* edgekit_bundle_backend(const edgekit_bundle* bundle) EDGEKIT_NOEXCEPT;
/** Kind of the task, "segmentation". */
EDGEKIT_API const char* edgekit_bundle_task(const edgekit_bundle* bundle) EDGEKIT_NOEXCEPT;
/** Number of classes; 0: the task has none. */
EDGEKIT_API size_t edgekit_bundle_class_count(const edgekit_bundle* bundle) EDGEKIT_NOEXCEPT;
/** Name of a class id; "" of one that is none. Valid until the bundle is closed. */
EDGEKIT_API const char* edgekit_bundle_class_name(const edgekit_bundle* bundle, size_t id) EDGEKIT_NOEXCEPT;
/** Number of the network's inputs. */
EDGEKIT_API size_t edgekit_bundle_input_count(const edgekit_bundle* bundle) EDGEKIT_NOEXCEPT;
/** Description of an input, without data; its name is valid until the bundle is closed. */
EDGEKIT_API edgekit_status edgekit_bundle_input(const edgekit_bundle* bundle, size_t index,
                                                edgekit_tensor* input) EDGEKIT_NOEXCEPT;

/* ---- frames ---- */

/** How pixels lie in memory. YUV is BT.601 in video range; Bayer is named after its two top left rows. */
enum {
  EDGEKIT_RGB8 = 0,
  EDGEKIT_BGR8 = 1,
  EDGEKIT_RGBA8 = 2,
  EDGEKIT_BGRA8 = 3,
  EDGEKIT_MONO8 = 4,
  EDGEKIT_RGB16 = 5,
  EDGEKIT_BGR16 = 6,
  EDGEKIT_RGBA16 = 7,
  EDGEKIT_BGRA16 = 8,
  EDGEKIT_MONO16 = 9,
  EDGEKIT_BAYER_RGGB8 = 10,
  EDGEKIT_BAYER_BGGR8 = 11,
  EDGEKIT_BAYER_GBRG8 = 12,
  EDGEKIT_BAYER_GRBG8 = 13,
  EDGEKIT_YUYV = 14,
  EDGEKIT_UYVY = 15,
  EDGEKIT_NV12 = 16,
  EDGEKIT_NV21 = 17
};

/** The encoding of ROS's name, "bgr8". */
EDGEKIT_API edgekit_status edgekit_encoding_of(const char* name, int32_t* encoding) EDGEKIT_NOEXCEPT;

/** An image in the caller's memory, which stays as it is until the call that takes it returns. */
typedef struct edgekit_frame {
  size_t size;         /**< sizeof(edgekit_frame) */
  const uint8_t* data; /**< first row first */
  size_t bytes;        /**< of the whole buffer; the last row may come without its padding */
  int32_t height;      /**< pixels; of nv12 without the rows of colour */
  int32_t width;       /**< pixels */
  int64_t stride;      /**< bytes from one row to the next; 0: without padding */
  int32_t encoding;    /**< EDGEKIT_BGR8 ... */
  int32_t reserved;    /**< 0 */
  int64_t stamp_ns;    /**< when it was taken, on the caller's clock */
} edgekit_frame;

/** One named source of a network that takes several: an image, or an array. Exactly one of the two is not null. */
typedef struct edgekit_source {
  size_t size;                 /**< sizeof(edgekit_source): the distance from one to the next, too */
  const char* name;            /**< of the input */
  const edgekit_frame* image;  /**< or null */
  const edgekit_tensor* array; /**< or null */
} edgekit_source;

/* ---- results ---- */

/** What a task makes of a frame, in coordinates of the image as it came. Borrowed: see who gives it. */
typedef struct edgekit_result edgekit_result;

/** Kinds of results. */
enum {
  EDGEKIT_NOTHING = 0,      /**< no frame yet, or the last one failed */
  EDGEKIT_LABEL_MAP = 1,    /**< segmentation */
  EDGEKIT_DETECTIONS = 2,   /**< detection */
  EDGEKIT_CLASS_SCORES = 3, /**< classification, anti-spoofing */
  EDGEKIT_EMBEDDING = 4,    /**< what identifies a subject, compared by cosine */
  EDGEKIT_VALUES = 5,       /**< regression */
  EDGEKIT_TENSORS = 6,      /**< outputs as the model gives them */
  EDGEKIT_SEVERAL = 7       /**< several tasks on one network */
};

/** A class id for each pixel. */
typedef struct edgekit_label_map {
  size_t size;           /**< sizeof(edgekit_label_map) */
  int32_t height;        /**< pixels */
  int32_t width;         /**< pixels */
  const uint8_t* labels; /**< height * width, row by row from the top left */
} edgekit_label_map;

/** Objects, surest first. */
typedef struct edgekit_detections {
  size_t size;           /**< sizeof(edgekit_detections) */
  size_t count;          /**< objects */
  const float* boxes;    /**< count * 4: left, top, right, bottom in pixels; pixel i reaches from i to i + 1 */
  const float* scores;   /**< count, 0..1 */
  const int64_t* labels; /**< count, class ids */
} edgekit_detections;

/** The probabilities of classes, or the numbers of an embedding. */
typedef struct edgekit_floats {
  size_t size;         /**< sizeof(edgekit_floats) */
  size_t count;        /**< numbers */
  const float* values; /**< count of them */
} edgekit_floats;

/** Numbers in the unit of the labels; their names: edgekit_result_name. */
typedef struct edgekit_values {
  size_t size;          /**< sizeof(edgekit_values) */
  size_t count;         /**< numbers */
  const double* values; /**< count of them */
} edgekit_values;

/** EDGEKIT_LABEL_MAP ...; EDGEKIT_NOTHING of a null pointer. */
EDGEKIT_API int32_t edgekit_result_kind(const edgekit_result* result) EDGEKIT_NOEXCEPT;
/** The pointers of these five are valid as long as the result; EDGEKIT_INVALID_ARGUMENT: it is of another kind. */
EDGEKIT_API edgekit_status edgekit_result_label_map(const edgekit_result* result,
                                                    edgekit_label_map* map) EDGEKIT_NOEXCEPT;
/** As edgekit_result_label_map. */
EDGEKIT_API edgekit_status edgekit_result_detections(const edgekit_result* result,
                                                     edgekit_detections* found) EDGEKIT_NOEXCEPT;
/** As edgekit_result_label_map, of class scores (probabilities by class id) and of an embedding. */
EDGEKIT_API edgekit_status edgekit_result_floats(const edgekit_result* result, edgekit_floats* floats) EDGEKIT_NOEXCEPT;
/** As edgekit_result_label_map. */
EDGEKIT_API edgekit_status edgekit_result_values(const edgekit_result* result, edgekit_values* values) EDGEKIT_NOEXCEPT;
/** As edgekit_result_label_map, one of edgekit_result_count tensors. */
EDGEKIT_API edgekit_status edgekit_result_tensor(const edgekit_result* result, size_t index,
                                                 edgekit_tensor* tensor) EDGEKIT_NOEXCEPT;
/** Number of values, tensors or parts; 0 of other kinds. */
EDGEKIT_API size_t edgekit_result_count(const edgekit_result* result) EDGEKIT_NOEXCEPT;
/** Name of a value, tensor or part; "" where there is none. Valid as long as the result. */
EDGEKIT_API const char* edgekit_result_name(const edgekit_result* result, size_t index) EDGEKIT_NOEXCEPT;
/** The result of one task of several; null where there is none. Valid as long as the result. */
EDGEKIT_API const edgekit_result* edgekit_result_part(const edgekit_result* result, size_t index) EDGEKIT_NOEXCEPT;

/* ---- pipelines ---- */

/** Preprocess, engine and postprocess of a bundle, with the result of the last frame. One thread at a time. */
typedef struct edgekit_pipeline edgekit_pipeline;

/** How long the stages of the last frame took, in nanoseconds. */
typedef struct edgekit_timing {
  size_t size;            /**< sizeof(edgekit_timing) */
  int64_t preprocess_ns;  /**< frame to the network's inputs */
  int64_t engine_ns;      /**< inputs to outputs */
  int64_t postprocess_ns; /**< outputs to the result */
} edgekit_timing;

/** Where the last frame's image went: (height, width) of both, and the (top, left, height, width) that it fills. */
typedef struct edgekit_geometry {
  size_t size;         /**< sizeof(edgekit_geometry) */
  int32_t original[2]; /**< of the frame */
  int32_t tensor[2];   /**< of the network's input */
  int32_t content[4];  /**< begins outside the tensor where the image was cropped */
} edgekit_geometry;

/** Load an engine of a bundle. `role`: "candidate" (also if null) or "control". After an error `*pipeline` is null. */
EDGEKIT_API edgekit_status edgekit_pipeline_open(const edgekit_bundle* bundle, const char* role,
                                                 edgekit_pipeline** pipeline) EDGEKIT_NOEXCEPT;
/** What it lent is not valid any more. */
EDGEKIT_API void edgekit_pipeline_close(edgekit_pipeline* pipeline) EDGEKIT_NOEXCEPT;
/** Compute the result of one frame. After an error the result is EDGEKIT_NOTHING; the next good frame works. */
EDGEKIT_API edgekit_status edgekit_pipeline_process(edgekit_pipeline* pipeline,
                                                    const edgekit_frame* frame) EDGEKIT_NOEXCEPT;
/** The same of a network that takes several images, or arrays; at most 32. */
EDGEKIT_API edgekit_status edgekit_pipeline_process_sources(edgekit_pipeline* pipeline, const edgekit_source* sources,
                                                            size_t count) EDGEKIT_NOEXCEPT;
/** The result of the last frame, valid until the next call of process or close; null of a null pointer. */
EDGEKIT_API const edgekit_result* edgekit_pipeline_result(const edgekit_pipeline* pipeline) EDGEKIT_NOEXCEPT;
/** Of the last frame. */
EDGEKIT_API edgekit_status edgekit_pipeline_timing(const edgekit_pipeline* pipeline,
                                                   edgekit_timing* timing) EDGEKIT_NOEXCEPT;
/** Of the last frame. */
EDGEKIT_API edgekit_status edgekit_pipeline_geometry(const edgekit_pipeline* pipeline,
                                                     edgekit_geometry* geometry) EDGEKIT_NOEXCEPT;
/** Number of the engine's outputs; 0 before the first frame. */
EDGEKIT_API size_t edgekit_pipeline_output_count(const edgekit_pipeline* pipeline) EDGEKIT_NOEXCEPT;
/** An output of the engine for the last frame, valid until the next call of process or close. */
EDGEKIT_API edgekit_status edgekit_pipeline_output(const edgekit_pipeline* pipeline, size_t index,
                                                   edgekit_tensor* output) EDGEKIT_NOEXCEPT;
/** Backend, runtime, provider and threads in one line; valid until the pipeline is closed. */
EDGEKIT_API const char* edgekit_pipeline_describe(const edgekit_pipeline* pipeline) EDGEKIT_NOEXCEPT;

#ifdef __cplusplus
}
#endif

#include "edgekit/edgekit_scheduler.h"

#endif  // EDGEKIT_EDGEKIT_H_
