/* SPDX-License-Identifier: Apache-2.0 */
/* Segments as bytes. A whole record is for a checkpoint, or for a member that joins. A report is for `agree` at the end of
 * an epoch's main part; it leaves out the given positions, which all members have. Called by the sampler.
 *
 * Little-endian: a header of 64 bytes, the members with events (40 bytes each), the members without (8 bytes each), the
 * used and the given positions (16 bytes per range), and the absences (24 bytes each). A record is refused as a whole if
 * its counts do not fit its size, an entry is out of order, or a number is out of range. */
#ifndef SGP_DATA_SEGMENTS_RECORD_H
#define SGP_DATA_SEGMENTS_RECORD_H

#include "data/segments.h"

typedef enum segments_form {
    SEGMENTS_WHOLE,
    SEGMENTS_REPORT /* members, positions used, absences */
} segments_form_t;

/* A checked record; borrows its bytes. */
typedef struct segments_record {
    segments_form_t form;
    uint64_t self;  /* of a report: the number of its author */
    cursor_t start; /* of the first segment; its size is 0 */
    size_t members, plain, used, given, absences;
    const unsigned char *entries; /* of all of them, in the order above */
} segments_record_t;

/* Bytes of a record. */
size_t segments_record_bytes(const segments_t *segments, segments_form_t form);

/* Writes a record to bytes (room). A report that does not fit leaves out absences, and the log says how many: their
 * positions are not made up. self: the member that reports. Sets *size on success. SGP_ERR_INVALID, logged: the rest does
 * not fit either. */
sgp_status_t segments_encode(const segments_t *segments, segments_form_t form, uint64_t self,
                             unsigned char *bytes, size_t room, size_t *size);

/* Checks a record. SGP_ERR_FORMAT: the log says what is wrong. */
sgp_status_t segments_record_read(const unsigned char *bytes /* (size) */, size_t size,
                                  segments_record_t *record);

/* Makes segments from a whole record; segments: not initialised. SGP_ERR_FORMAT: it is a report.
 * SGP_ERR_NO_MEMORY. Both logged; then call no fini. */
sgp_status_t segments_init_from(segments_t *segments, const segments_record_t *record);

/* SGP_ERR_MISMATCH: the record begins elsewhere (positions, step, workers or batch); the log has both. */
sgp_status_t segments_check_record(const segments_t *segments, const segments_record_t *record);

/* Merges a record with the same beginning. The errors of segments_check_record; SGP_ERR_NO_MEMORY, logged. Nothing
 * changed then. */
sgp_status_t segments_merge(segments_t *segments, const segments_record_t *record);

/* Whether two reports have the same members with the same joins and leaves. */
bool segments_record_same_plan(const segments_record_t *a, const segments_record_t *b);

#endif
