/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that prepare batches ahead of the caller, sample by sample. The pipeline says what a
 * sample's preparation is; this file knows only numbers.
 *
 * The batches of a pass have numbers, and are prepared in that order into a ring of slots: batch k
 * has slot k mod slots. A sample is begun only while its batch is less than `slots` ahead of the
 * batch that the caller holds, so memory is bounded. Which thread prepares a sample is left to
 * chance, so the preparation must depend on (batch, sample) alone.
 *
 * One thread, the owner, calls these functions. In the child of a fork the threads are gone:
 * decoders_wait fails, and decoders_destroy only releases memory. */
#ifndef SGP_DATA_DECODERS_H
#define SGP_DATA_DECODERS_H

#include <sgp/status.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct decoders_options {
    int threads; /* required, > 0 */
    int slots;   /* required, >= 2: one that the caller holds, the others ahead of it */
    int samples; /* of a batch; required, > 0 */
    /* Prepares one sample. Called by the threads, several at a time. thread: 0 <= thread < threads,
     * for what each of them keeps. */
    void (*prepare)(void *context, int thread, uint64_t batch, int sample);
    void *context;   /* borrowed */
    int patience_ms; /* the longest time in which no sample is finished; required, > 0 */
} decoders_options_t;

typedef struct decoders decoders_t;

/* Starts the threads, which sleep until decoders_begin. SGP_ERR_NO_MEMORY, logged. */
sgp_status_t decoders_create(const decoders_options_t *options, decoders_t **decoders);

/* Ends the threads after the samples that they are at. A thread that is not back within the patience, and within ten
 * seconds, is left behind with its memory, and a warning says so: it waits for a file system that does not answer.
 * false: that was so, and what `prepare` uses must not be released. NULL is fine. */
bool decoders_destroy(decoders_t *decoders);

/* Begins a pass of the batches [first, end). Drops what is left of the one before, and returns when no thread is at
 * it any more. SGP_ERR_TIMEOUT: not within the patience. */
sgp_status_t decoders_begin(decoders_t *decoders, uint64_t first, uint64_t end);

/* Lets the threads rest: no sample is begun until decoders_resume, and none is being prepared when this returns. What is
 * prepared stays. SGP_ERR_TIMEOUT: a sample is not finished within the patience; then only decoders_begin and
 * decoders_destroy may follow. SGP_ERR_INVALID: in the child of a fork. Nothing is logged. */
sgp_status_t decoders_rest(decoders_t *decoders);

/* After decoders_rest: the pass goes on, and now ends before batch `end`. Batches from `keep` on are prepared anew; keep is
 * behind the batch that the caller holds. */
void decoders_resume(decoders_t *decoders, uint64_t keep, uint64_t end);

/* Waits, asleep, until the batch is prepared, and gives the slots of all batches before it to those that follow. The
 * batches of a pass are asked for in order. SGP_ERR_TIMEOUT: no sample was finished within the patience; *sample is
 * one that is still being prepared, of *batch_of_sample. SGP_ERR_INVALID: this process is a child of the one that
 * began. Nothing is logged. */
sgp_status_t decoders_wait(decoders_t *decoders, uint64_t batch, uint64_t *batch_of_sample,
                           int *sample);

#endif
