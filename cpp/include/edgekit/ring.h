/** \file
 * Frames in POSIX shared memory, as edgekit-run reads them: a header, then slots of equal size.
 *
 * One process writes, any number reads. A reader takes the newest frame and copies it; the writer never waits. The
 * object is made by the writer (shm_open, ftruncate to edgekit_ring_bytes, mmap) and must not shrink while it is read.
 *
 * To write frame `number` (1, 2, ...): set the slot's number to 0, then a release fence; fill slot and pixels; set the
 * slot's number with release order; set the ring's newest with release order. At the end set closed.
 */
#ifndef EDGEKIT_RING_H_
#define EDGEKIT_RING_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** "EDGKRING" in a little-endian integer. */
#define EDGEKIT_RING_MAGIC UINT64_C(0x474e49524b474445)
/** Of this layout. */
#define EDGEKIT_RING_VERSION 1
/** The most slots. */
#define EDGEKIT_RING_MOST_SLOTS 1024

/** At the beginning of the object; 64 bytes. */
typedef struct edgekit_ring {
  uint64_t magic;       /**< EDGEKIT_RING_MAGIC, written last */
  uint32_t version;     /**< EDGEKIT_RING_VERSION */
  uint32_t slots;       /**< 2 to 1024 */
  uint64_t slot_bytes;  /**< from one slot to the next: 64 and the pixels, a multiple of 64 */
  uint64_t newest;      /**< number of the newest whole frame; 0: none yet. Atomic */
  uint32_t closed;      /**< 1: no further frame comes. Atomic */
  uint32_t reserved[7]; /**< 0 */
} edgekit_ring;

/** At the beginning of a slot, the pixels behind it; 64 bytes. Frame `number` lies in slot (number - 1) % slots. */
typedef struct edgekit_ring_slot {
  uint64_t number;      /**< of the frame; 0 while it is written. Atomic */
  int64_t stamp_ns;     /**< when it was taken, on the writer's clock */
  int64_t stride;       /**< bytes from one row to the next; 0: without padding */
  uint64_t bytes;       /**< of the pixels */
  int32_t height;       /**< pixels */
  int32_t width;        /**< pixels */
  int32_t encoding;     /**< of edgekit.h: EDGEKIT_BGR8 ... */
  uint32_t reserved[5]; /**< 0 */
} edgekit_ring_slot;

/** Bytes of the whole object. */
static inline uint64_t edgekit_ring_bytes(uint32_t slots, uint64_t slot_bytes) {
  return sizeof(edgekit_ring) + slots * slot_bytes;
}

#ifdef __cplusplus
}
#endif

#endif  // EDGEKIT_RING_H_
