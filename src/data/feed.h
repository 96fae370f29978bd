/* SPDX-License-Identifier: Apache-2.0 */
/* The batches of a node, whatever the data: pixels in memory (dataset, loader) or pictures on disk
 * (source, pipeline). The run and `sgp eval` call it.
 *
 * Order and augmentation depend on the seed, the epoch and the node's place alone, so a run that is
 * resumed in the middle of an epoch goes on with the batches that it would have had. One thread. */
#ifndef SGP_DATA_FEED_H
#define SGP_DATA_FEED_H

#include "data/division.h"
#include "data/sampler.h"

#include <sgp/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FEED_IMAGE_SIZE 224 /* pixels of a side, of pictures, unless options say otherwise */

typedef struct feed_shape {
    bool pictures;      /* JPEG or PNG files, else pixels */
    const char *format; /* "idx", "folder", ...; static */
    int height, width;  /* pixels, as the network sees them */
    int channels, classes;
    uint64_t train_count; /* samples that are used */
    uint64_t test_count;
} feed_shape_t;

typedef struct feed_options {
    const char *data; /* as source_open takes it; borrowed for the call; required */
    int64_t
        limit; /* training samples to use; 0: all. Of pixels the first ones, of pictures as many at random */
    int image_size; /* of pictures; 0: FEED_IMAGE_SIZE */
    int batch;      /* samples; required, > 0 */
    int rank, size; /* of the process; size required, > rank */
    int workers;    /* of a node: rank r is worker r mod workers of node r / workers; 0: one */
    uint64_t seed;
    bool augment;
    float jitter;        /* of pictures' colours, picture_options_t */
    int threads;         /* that decode pictures; 0: one */
    bool skip_bad;       /* pictures; else a bad one is an error */
    bool shard_per_node; /* each node has a part of the shards, and orders that alone */
    division_rule_t
        split; /* nodes have different samples; not with shard_per_node or private_data */
    bool
        private_data; /* `data` are this node's alone: see feed_set_length. Not with shard_per_node */
} feed_options_t;

typedef struct feed_batch {
    const float *images;   /* (count, height, width, channels), nhwc */
    const int32_t *labels; /* (count) */
    int count; /* training: the whole batch; test: the samples that could be read, maybe none */
    int valid; /* training: the node's own samples, which come first; the others only fill the batch for batch norm */
    int bad;   /* of the node's own: pictures that were replaced (training) or left out (test) */
} feed_batch_t;

typedef struct feed feed_t;

/* The shape of the data with these options (see above), from the headers of files of pixels, or what source_open reads of
 * pictures. Errors as feed_create. */
sgp_status_t feed_inspect(const char *data, int64_t limit, int image_size, feed_shape_t *shape);

/* Reads all of the pixels, so that one process reports what is wrong before a run begins. Of pictures there is nothing
 * to read but what feed_inspect has read. */
sgp_status_t feed_check(const char *data, int64_t limit);

/* Approximate bytes of one process: the data that it keeps in memory, or the list of the pictures and the batches
 * ahead (pipeline_memory_bytes). */
double feed_memory_bytes(const feed_shape_t *shape, int batch, int threads);

/* Of these, the batches of pictures: two that are decoded ahead, and the one in use. */
double feed_ahead_bytes(int image_size, int batch);

/* Opens the data and allocates everything; the threads of a pipeline begin to work with the first feed_next. The errors
 * of dataset_load, source_open and pipeline_create. SGP_ERR_INVALID: shard_per_node without shards. */
sgp_status_t feed_create(const feed_options_t *options, feed_t **feed);
void feed_destroy(feed_t *feed); /* NULL is fine */

const feed_shape_t *feed_shape(const feed_t *feed);

/* Of each channel, in units of a byte: a value v becomes (v - mean) / deviation. (channels) */
const float *feed_mean(const feed_t *feed);
const float *feed_deviation(const feed_t *feed);

/* Another normalisation than that of the data, before the first batch; as a model's file says. */
void feed_normalise(feed_t *feed, const float *mean /* (channels) */,
                    const float *deviation /* (channels) */);

/* Equal where two nodes have the same data. */
uint64_t feed_checksum(const feed_t *feed);

/* The division of the samples, with a split; else NULL. */
const division_t *feed_division(const feed_t *feed);

/* Of the division that feed_create has made, equal where two nodes have made the same; 0: there is none. */
uint64_t feed_division_hash(const feed_t *feed);

/* With a split, before an epoch begins: this node's samples are those of node `node` mod `nodes` in a division between `nodes`,
 * and its order and its augmentation those of `node`. feed_create takes the node and the nodes of its options. Without a split
 * it does nothing. The errors of division_init; then nothing changed. */
sgp_status_t feed_set_share(feed_t *feed, int node, int nodes);

/* With private_data, before an epoch begins: in an epoch each node takes `length` samples, the most that any of them has, and
 * one that has fewer goes through its samples again, in another order. feed_create takes those of this node. SGP_ERR_NO_MEMORY,
 * logged; nothing changed. */
sgp_status_t feed_set_length(feed_t *feed, uint64_t length);

/* Samples of an epoch, over `nodes` nodes. */
uint64_t feed_epoch_samples(const feed_t *feed, int nodes);

/* Steps of the current epoch, the same on every node; they change when members come and go. */
uint64_t feed_steps(const feed_t *feed);

/* How far the epoch is before `step`, in samples of all nodes: sampler_reached. */
uint64_t feed_reached(const feed_t *feed, uint64_t step);

/* Draws the order of `epoch`, from 0; feed_next gives the batches of the steps from `step` on. SGP_ERR_IO: a file
 * system does not answer. */
sgp_status_t feed_begin_epoch(feed_t *feed, uint64_t epoch, uint64_t step);

/* The same for an epoch that other processes have begun: in the steps before `first` they have taken its samples before
 * `position`, and those of this feed's options take the rest from `first` on. step >= first. Not with shard_per_node,
 * whose nodes have orders of their own. */
sgp_status_t feed_continue_epoch(feed_t *feed, uint64_t epoch, uint64_t first, uint64_t position,
                                 uint64_t step);

/* The samples of this process in a step of the epoch, without reading them. */
int feed_samples(const feed_t *feed, uint64_t step);

/* ---- members that come and go (data/sampler.h), between the test samples of two epochs ----
 *
 * `step` is the next one whose batch feed_next has not given yet, in steps of the epoch. Batches that were read ahead
 * are kept as far as they are still this process's; the batch that feed_next has given stays valid, except
 * where these say otherwise. With shard_per_node each node keeps its part: events change nothing, there are no make-up
 * steps, and what a node that is gone has not read is not read in this epoch. The same with private_data. With a split the
 * others take as many samples more, of their own: those of a node that is gone go with it.
 *
 * All may fail as pipeline_pause does, and wait for the pictures that are being read. */

/* sampler_tell. */
sgp_status_t feed_tell(feed_t *feed, const segments_event_t *events /* (count) */, size_t count,
                       uint64_t step);

/* This process passes over the steps [first, step): feed_next goes on with `step`. The last batch is not valid any
 * more. The errors of sampler_tell. */
sgp_status_t feed_pass_over(feed_t *feed, uint64_t first, uint64_t step);

/* sampler_report. */
sgp_status_t feed_report(const feed_t *feed, unsigned char *bytes, size_t room, size_t *size);

/* sampler_merge. */
sgp_status_t feed_merge(feed_t *feed, uint64_t step, const sampler_report_t *reports, size_t count);

/* sampler_make_up: feed_steps then has the make-up steps too, and feed_next goes on with their batches. */
sgp_status_t feed_make_up(feed_t *feed, uint64_t step, const sampler_report_t *reports,
                          size_t count);

/* sampler_missed. */
sgp_status_t feed_missed(const feed_t *feed, uint64_t until, uint64_t *missed);

/* sampler_save, for a checkpoint and for a process that joins. bytes: (feed_state_bytes). */
size_t feed_state_bytes(const feed_t *feed);
void feed_save(const feed_t *feed, unsigned char *bytes);

/* sampler_restore, sampler_set_members, sampler_set_plan and sampler_set_self, after feed_begin_epoch and before the
 * first batch. SGP_ERR_INVALID also for other members with shard_per_node. */
sgp_status_t feed_restore(feed_t *feed, const unsigned char *bytes, size_t size);
sgp_status_t feed_set_members(feed_t *feed, uint64_t step, int rank, int size);
sgp_status_t feed_set_plan(feed_t *feed, uint64_t step, const uint64_t *members, int nodes,
                           uint64_t self);
sgp_status_t feed_set_self(feed_t *feed, uint64_t self);

/* The augmentation of pixels is that of the node with this number instead of this process's own: of a resumed run, whose nodes
 * are numbered anew. Between two batches. */
void feed_set_seat(feed_t *feed, int node);

/* From here on feed_next gives the test samples [first, end), `batch` at a time. */
void feed_begin_test(feed_t *feed, uint64_t first, uint64_t end);

/* The next batch; valid until the next call. Allocates nothing with pixels. May block for the time of reading. The
 * errors of pipeline_next; none with pixels. */
sgp_status_t feed_next(feed_t *feed, feed_batch_t *batch);

#endif
