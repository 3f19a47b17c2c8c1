/** \file
 * The C ABI of the scheduler: several cameras on a fixed pool of threads. edgekit.h includes it; its rules hold here.
 *
 * All functions may be called from any thread, closing apart. Cameras are added before the start.
 */
#ifndef EDGEKIT_EDGEKIT_SCHEDULER_H_
#define EDGEKIT_EDGEKIT_SCHEDULER_H_

#include "edgekit/edgekit.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Cameras, their pipelines, and the threads that run them. */
typedef struct edgekit_scheduler edgekit_scheduler;

/** A pipeline that does not return. */
typedef struct edgekit_hang {
  size_t size;        /**< sizeof(edgekit_hang) */
  uint32_t camera;    /**< its number */
  uint32_t reserved;  /**< 0 */
  const char* name;   /**< valid while the callback runs */
  uint64_t sequence;  /**< number of the frame */
  int64_t running_ns; /**< for how long so far */
  int64_t limit_ns;   /**< what was allowed */
} edgekit_hang;

/** How the threads run. All zero but `threads` is a good beginning. */
typedef struct edgekit_scheduler_options {
  size_t size;               /**< sizeof(edgekit_scheduler_options) */
  int32_t threads;           /**< 1 or more */
  int32_t realtime_priority; /**< 1..98: SCHED_FIFO where it is allowed; 0: not */
  const int32_t* pin;        /**< thread i on processor pin[i % pin_count]; null: anywhere */
  size_t pin_count;          /**< entries of pin */
  int32_t lock_memory;       /**< 1: mlockall where it is allowed */
  int32_t reserved;          /**< 0 */
  /** Called by the watchdog's thread, once a hang; may be null. */
  void (*on_hang)(void* context, const edgekit_hang* hang);
  void* context; /**< of on_hang */
} edgekit_scheduler_options;

/** A camera. */
typedef struct edgekit_camera_options {
  size_t size;           /**< sizeof(edgekit_camera_options) */
  const char* name;      /**< its own, not empty */
  int32_t priority;      /**< higher goes first, always */
  int32_t keep_expired;  /**< 1: frames whose deadline passed before their start run all the same */
  int64_t period_ns;     /**< from one frame to the next; 0: that of 30 Hz */
  int64_t deadline_ns;   /**< from submission to result; 0: the period */
  int64_t hang_after_ns; /**< a frame that runs for longer hangs; 0: two periods, or two medians of its last runs */
  size_t frame_bytes;    /**< room for frames without row padding; 0: as the frames need it */
} edgekit_camera_options;

/** What a frame became; valid while the callback runs, like all that it points to. */
typedef struct edgekit_completion {
  size_t size;                  /**< sizeof(edgekit_completion) */
  uint32_t camera;              /**< its number */
  edgekit_status status;        /**< EDGEKIT_OK: there is a result */
  const char* name;             /**< of the camera */
  const char* error;            /**< one line; "" when all is well */
  const edgekit_result* result; /**< null when status is not EDGEKIT_OK */
  uint64_t sequence;            /**< number of the frame, from 1 */
  int64_t stamp_ns;             /**< the frame's own */
  int64_t submitted_ns;         /**< these three on the monotonic clock */
  int64_t started_ns;           /**< taken from the mailbox */
  int64_t finished_ns;          /**< the result is there */
  int64_t preprocess_ns;        /**< frame to inputs */
  int64_t engine_ns;            /**< inputs to outputs */
  int64_t postprocess_ns;       /**< outputs to result */
  int32_t late;                 /**< 1: finished after its deadline */
  int32_t reserved;             /**< 0 */
} edgekit_completion;

/** Called by a thread of the pool, one at a time for each camera, before the camera's next frame starts. */
typedef void (*edgekit_on_result)(void* context, const edgekit_completion* done);

/** Percentiles of the last frames, at most 1024 of them, in nanoseconds. */
typedef struct edgekit_percentiles {
  int64_t p50_ns;  /**< the median */
  int64_t p90_ns;  /**< of ten, one is longer */
  int64_t p99_ns;  /**< of a hundred */
  int64_t p999_ns; /**< of a thousand */
  int64_t most_ns; /**< the longest */
} edgekit_percentiles;

/** What became of a camera's frames; received = refused + dropped + answered + failed + waiting + running. */
typedef struct edgekit_camera_statistics {
  size_t size;                     /**< sizeof(edgekit_camera_statistics) */
  uint64_t received;               /**< frames submitted */
  uint64_t refused;                /**< frames that were none */
  uint64_t answered;               /**< results */
  uint64_t late;                   /**< results after their deadline */
  uint64_t replaced;               /**< dropped: a newer one came before its turn */
  uint64_t expired;                /**< dropped: its deadline passed before its turn */
  uint64_t stopped;                /**< dropped: the scheduler was stopped before its turn */
  uint64_t failed;                 /**< processed in vain */
  uint64_t hangs;                  /**< times that the watchdog found it hanging */
  uint32_t waiting;                /**< 0 or 1 */
  uint32_t running;                /**< 0 or 1 */
  int32_t hung;                    /**< 1: the running one for longer than its limit */
  int32_t reserved;                /**< 0 */
  double rate_hz;                  /**< results of the last five seconds */
  int64_t last_result_age_ns;      /**< -1: there was none */
  uint64_t last_sequence;          /**< number of the frame of the last result */
  edgekit_percentiles wait;        /**< in the mailbox */
  edgekit_percentiles preprocess;  /**< frame to inputs */
  edgekit_percentiles engine;      /**< inputs to outputs */
  edgekit_percentiles postprocess; /**< outputs to result */
  edgekit_percentiles total;       /**< from submission to result */
} edgekit_camera_statistics;

/** A scheduler without cameras. After an error `*scheduler` is null. */
EDGEKIT_API edgekit_status edgekit_scheduler_create(const edgekit_scheduler_options* options,
                                                    edgekit_scheduler** scheduler) EDGEKIT_NOEXCEPT;
/** Stops, waiting for a second, and closes the pipelines. */
EDGEKIT_API void edgekit_scheduler_close(edgekit_scheduler* scheduler) EDGEKIT_NOEXCEPT;
/**
 * A camera with its pipeline, which is the scheduler's from then on: not to be used or closed any more. After an error
 * the pipeline stays the caller's. `camera` gets the number, from 0.
 */
EDGEKIT_API edgekit_status edgekit_scheduler_add(edgekit_scheduler* scheduler, const edgekit_camera_options* options,
                                                 edgekit_pipeline* pipeline, edgekit_on_result on_result, void* context,
                                                 uint32_t* camera) EDGEKIT_NOEXCEPT;
/** Starts the threads; what the machine did not allow stands in edgekit_scheduler_notes. */
EDGEKIT_API edgekit_status edgekit_scheduler_start(edgekit_scheduler* scheduler) EDGEKIT_NOEXCEPT;
/** Copies a frame into the camera's mailbox, where the newest wins. `sequence` (may be null) gets its number. */
EDGEKIT_API edgekit_status edgekit_scheduler_submit(edgekit_scheduler* scheduler, uint32_t camera,
                                                    const edgekit_frame* frame, uint64_t* sequence) EDGEKIT_NOEXCEPT;
/** The same without a copy: the pixels stay until `release` is called, once, by any thread; never after an error. */
EDGEKIT_API edgekit_status edgekit_scheduler_submit_borrowed(edgekit_scheduler* scheduler, uint32_t camera,
                                                             const edgekit_frame* frame, void (*release)(void* context),
                                                             void* context, uint64_t* sequence) EDGEKIT_NOEXCEPT;
/** Waits until no frame waits or runs. */
EDGEKIT_API edgekit_status edgekit_scheduler_drain(edgekit_scheduler* scheduler, int64_t timeout_ns) EDGEKIT_NOEXCEPT;
/** Drops what waits, lets what runs end, and ends the threads. */
EDGEKIT_API edgekit_status edgekit_scheduler_stop(edgekit_scheduler* scheduler, int64_t timeout_ns) EDGEKIT_NOEXCEPT;
/** Of one camera, of this moment; stops nobody. */
EDGEKIT_API edgekit_status edgekit_scheduler_statistics(const edgekit_scheduler* scheduler, uint32_t camera,
                                                        edgekit_camera_statistics* statistics) EDGEKIT_NOEXCEPT;
/**
 * All cameras in Prometheus's text format. Writes at most `size` bytes, a terminating zero included; `needed` (may be
 * null) gets what the whole text needs, so a first call with size 0 asks for it.
 */
EDGEKIT_API edgekit_status edgekit_scheduler_prometheus(const edgekit_scheduler* scheduler, char* buffer, size_t size,
                                                        size_t* needed) EDGEKIT_NOEXCEPT;
/** What the machine did not allow, a line each, as edgekit_scheduler_prometheus writes. */
EDGEKIT_API edgekit_status edgekit_scheduler_notes(const edgekit_scheduler* scheduler, char* buffer, size_t size,
                                                   size_t* needed) EDGEKIT_NOEXCEPT;

#ifdef __cplusplus
}
#endif

#endif  // EDGEKIT_EDGEKIT_SCHEDULER_H_
