/* SPDX-License-Identifier: Apache-2.0 */
/* Batches of pictures: threads read samples of a source, decode and augment them (data/picture), and keep batches ready
 * ahead of the step. For sources whose samples are JPEG or PNG files; the feed calls it.
 *
 * A training sample is a function of (seed, epoch, position in the epoch's permutation) alone: position p is the sample
 * that the sampler has there, augmented with a random number of (seed, epoch, p). So batches do not depend on the number
 * of threads, on batches that were made before, or on where in an epoch a run begins.
 *
 * Bad pictures. A sample that cannot be read or decoded is replaced, if options.skip_bad, by the sample of the next
 * position, also over the end of the permutation, and augmented as the position that it stands in for. A test sample is
 * left out. Each is named in the log, PIPELINE_NAMED lines at most, and counted. Without skip_bad the first one, in the
 * order of the batch, is an error.
 *
 * Memory: pipeline_memory_bytes. Only the owner, one thread, calls these functions. */
#ifndef SGP_DATA_PIPELINE_H
#define SGP_DATA_PIPELINE_H

#include "data/picture/picture.h"
#include "data/sampler.h"
#include "data/source.h"

#define PIPELINE_AHEAD       2  /* batches that are ready while the caller works on one */
#define PIPELINE_NAMED       20 /* bad pictures named in the log of a pipeline */
#define PIPELINE_TRIES       64 /* bad pictures in a row that end a run in any case */
#define PIPELINE_PATIENCE_MS 600000
#define PIPELINE_PICTURE_BYTES                                                                     \
    ((size_t)256 << 20) /* of a picture while it is decoded, by each thread */

typedef struct pipeline_options {
    const source_t *source; /* encoded; borrowed, must outlive the pipeline; required */
    picture_options_t picture;
    bool augment;    /* training samples; else they are cut as test samples are */
    bool skip_bad;   /* else a bad picture is an error */
    int batch;       /* samples; required, > 0 */
    int threads;     /* that decode; required, > 0 */
    uint64_t seed;   /* of the augmentation */
    int patience_ms; /* the longest time for one picture; 0: PIPELINE_PATIENCE_MS */
} pipeline_options_t;

typedef struct pipeline pipeline_t;

/* Which samples a node trains on: sample s of the sampler is index chosen[first + s] of the source, or first + s.
 * Borrowed until the next pass begins; the sampler does not change meanwhile, except between pipeline_rest and
 * pipeline_resume. */
typedef struct pipeline_order {
    const sampler_t *sampler;
    const uint64_t *chosen; /* NULL: all of the source */
    uint64_t first;
} pipeline_order_t;

/* A batch; valid until the next call. */
typedef struct pipeline_batch {
    const float *images;   /* (count, size, size, 3) */
    const int32_t *labels; /* (count) */
    int count; /* training: the whole batch; test: the samples that could be read, which may be none */
    int valid; /* training: samples that are the node's own, the first ones; test: count */
    int bad;   /* samples that were replaced or left out, of the node's own */
} pipeline_batch_t;

/* Bytes that a pipeline holds: its batches. Each thread needs up to PIPELINE_PICTURE_BYTES more while it decodes; for a
 * photograph of usual size about 1 MB. */
size_t pipeline_memory_bytes(int size, int batch);

/* Copies options and starts the threads. SGP_ERR_NO_MEMORY, logged. */
sgp_status_t pipeline_create(const pipeline_options_t *options, pipeline_t **pipeline);

/* Ends the threads. false: one of them waits for a file system that does not answer, and is left behind with what it
 * uses: the source and the sampler must stay. NULL is fine. */
bool pipeline_destroy(pipeline_t *pipeline);

/* Drops what is left of the pass, and returns when no thread is at it any more: the sampler may
 * change. SGP_ERR_IO: a picture has not been read within the patience. */
sgp_status_t pipeline_pause(pipeline_t *pipeline);

/* Lets the threads rest within a pass over training samples, so that the sampler may change; what is ready stays. Then
 * pipeline_resume, or pipeline_pause. The errors of pipeline_pause. */
sgp_status_t pipeline_rest(pipeline_t *pipeline);

/* The pass goes on, with the batches of the steps before `end`. Those of the steps from `keep` on are made anew: the
 * sampler has others for them. The batch that the caller has stays valid. */
void pipeline_resume(pipeline_t *pipeline, uint64_t keep, uint64_t end);

/* Begins a pass over the training samples of the sampler's epoch: the batches of the steps [first,
 * end). The threads begin at once. The errors of pipeline_pause, which it calls. */
sgp_status_t pipeline_train(pipeline_t *pipeline, const pipeline_order_t *order, uint64_t epoch,
                            uint64_t first, uint64_t end);

/* The normalisation of the pictures, instead of that of the options; in units of a byte. Before the first pass. */
void pipeline_normalise(pipeline_t *pipeline, const float mean[3], const float deviation[3]);

/* Another seed of the augmentation, from the next pass on. */
void pipeline_reseed(pipeline_t *pipeline, uint64_t seed);

/* Begins a pass over test samples [first, end). */
sgp_status_t pipeline_test(pipeline_t *pipeline, uint64_t first, uint64_t end);

/* The next batch of the pass, waiting until it is ready. SGP_ERR_FORMAT, SGP_ERR_IO: a bad picture without skip_bad, or
 * PIPELINE_TRIES in a row; a picture that is not read within the patience. SGP_ERR_NO_MEMORY. SGP_ERR_INVALID: in the
 * child of a fork. The log names the picture. */
sgp_status_t pipeline_next(pipeline_t *pipeline, pipeline_batch_t *batch);

#endif
