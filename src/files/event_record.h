/* SPDX-License-Identifier: Apache-2.0 */
/* Records of TensorBoard's event files, from values. Pure functions over bytes.
 *
 * A file is a sequence of TFRecords:
 *   length (uint64, little-endian), masked CRC-32C of these 8 bytes, the record, its masked CRC-32C
 * where masked is (crc >> 15 | crc << 17) + 0xa282ead8. A record is a protobuf message Event, of
 * which these fields are written (tensorflow/core/util/event.proto, framework/summary.proto):
 *   Event    1 wall_time (double)  2 step (int64)  3 file_version (string)  5 summary (Summary)
 *            7 session_log (SessionLog)
 *   Summary  1 value (repeated Value)
 *   Value    1 tag (string)  2 simple_value (float)
 *   SessionLog  1 status (enum; 1: START) */
#ifndef SGP_FILES_EVENT_RECORD_H
#define SGP_FILES_EVENT_RECORD_H

#include <stddef.h>
#include <stdint.h>

enum { EVENT_RECORD_BYTES = 1024, EVENT_RECORD_SCALARS = 10, EVENT_RECORD_TAG = 48 };

/* One record; all zero is empty. */
typedef struct event_record {
    size_t length;
    uint8_t bytes[EVENT_RECORD_BYTES];
} event_record_t;

typedef struct event_record_scalar {
    const char *tag; /* at most EVENT_RECORD_TAG characters */
    double value;    /* left out unless finite */
} event_record_scalar_t;

/* The first record of every file. wall_time: seconds since 1970. */
void event_record_version(event_record_t *event, double wall_time);

/* The file begins with `step`: values of this and later steps in older files of the directory are
 * void. */
void event_record_start(event_record_t *event, double wall_time, int64_t step);

/* Values of one step. scalars: (count), at most EVENT_RECORD_SCALARS. */
void event_record_scalars(event_record_t *event, double wall_time, int64_t step,
                          const event_record_scalar_t *scalars, size_t count);

#endif
