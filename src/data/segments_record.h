/* SPDX-License-Identifier: Apache-2.0 */
/* Segments as bytes. The whole of them is for a checkpoint, and for a member that joins. A report is for `agree` at
 * the end of an epoch's main part; it leaves out the positions that were given, which all have. The sampler
 * calls it.
 *
 * All numbers are little-endian. 64 bytes of header, then the members with events (40 bytes each) and those
 * without (8 bytes each), the positions used and given (16 bytes a range) and the absences (24 bytes each). A record with a count that does not fit
 * its size, with an entry out of order or a number out of range is refused as a whole. */
#ifndef SGP_DATA_SEGMENTS_RECORD_H
#define SGP_DATA_SEGMENTS_RECORD_H

#include "data/segments.h"

typedef enum segments_form {
    SEGMENTS_WHOLE,
    SEGMENTS_REPORT /* members, positions used, absences */
} segments_form_t;

/* A record that was checked; borrows its bytes. */
typedef struct segments_record {
    segments_form_t form;
    uint64_t self;  /* a report's: the number of the member that made it */
    cursor_t start; /* of the first segment; its size is 0 */
    size_t members, plain, used, given, absences;
    const unsigned char *entries; /* of all of them, in the order above */
} segments_record_t;

/* Bytes of a record. */
size_t segments_record_bytes(const segments_t *segments, segments_form_t form);

/* bytes: (room). A report that does not fit leaves out absences, and the log says how many: these positions are
 * not made up. self: the member that reports. *size is set on success. SGP_ERR_INVALID: there is too little
 * room for the rest; logged. */
sgp_status_t segments_encode(const segments_t *segments, segments_form_t form, uint64_t self,
                             unsigned char *bytes, size_t room, size_t *size);

/* Checks a record. SGP_ERR_FORMAT: the log says what is wrong. */
sgp_status_t segments_record_read(const unsigned char *bytes /* (size) */, size_t size,
                                  segments_record_t *record);

/* Makes segments from a whole record; segments: not initialised. SGP_ERR_FORMAT: it is a report.
 * SGP_ERR_NO_MEMORY. Both are logged, and then nothing is to be finished. */
sgp_status_t segments_init_from(segments_t *segments, const segments_record_t *record);

/* SGP_ERR_MISMATCH: the record has another beginning (positions, step, workers or batch); the log has both. */
sgp_status_t segments_check_record(const segments_t *segments, const segments_record_t *record);

/* Merges a record with the same beginning. The errors of segments_check_record; SGP_ERR_NO_MEMORY, logged. Nothing
 * changed then. */
sgp_status_t segments_merge(segments_t *segments, const segments_record_t *record);

/* Whether two reports have the same members, and know the same joins and leaves. */
bool segments_record_same_plan(const segments_record_t *a, const segments_record_t *b);

#endif
