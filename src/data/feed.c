/* SPDX-License-Identifier: Apache-2.0 */
#include "data/feed.h"

#include "base/logging.h"
#include "base/memory.h"
#include "data/feed_order.h"
#include "data/loader.h"
#include "data/pipeline.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Of a picture in the lists of a source, and of a photograph while it is decoded; about. */
enum { LIST_BYTES = 64, PHOTOGRAPH_BYTES = 4 << 20 };

/* The batches that feed_next gives next. */
typedef struct course {
    bool test, begun;   /* begun: the pipeline knows of it */
    uint64_t epoch, at; /* at: the step, or of a test the sample */
    uint64_t end;       /* of a test */
} course_t;

struct feed {
    feed_options_t options;
    feed_shape_t shape;
    feed_order_t order;
    int seat; /* of the augmentation */
    course_t course;

    dataset_t *dataset; /* pixels; NULL: pictures */
    loader_t loader;
    uint64_t *indices; /* (batch) */
    uint64_t *places;  /* (batch) in an order of the node's own */
    float *images;     /* (batch, sample) */
    int32_t *labels;   /* (batch) */

    source_t *source; /* pictures */
    picture_options_t picture;
    pipeline_t *pipeline;
    uint64_t *chosen; /* (shape.train_count) NULL: all */
};

/* ---- shapes ---- */

static sgp_status_t check_limit(const char *data, int64_t limit, uint64_t count) {
    if (limit >= 0 && (uint64_t)limit <= count) return SGP_OK;
    return sgp_fail(SGP_ERR_INVALID,
                    "limit-samples is %" PRId64 ": must be at most %" PRIu64
                    ", the training samples of %s",
                    limit, count, data);
}

static feed_shape_t shape_of_pixels(const dataset_shape_t *shape, const char *format) {
    return (feed_shape_t){.format = format,
                          .height = shape->height,
                          .width = shape->width,
                          .channels = shape->channels,
                          .classes = shape->classes,
                          .train_count = shape->train_count,
                          .test_count = shape->test_count};
}

static feed_shape_t shape_of_pictures(const source_t *source, int image_size) {
    const source_shape_t *shape = source_shape(source);
    int size = image_size > 0 ? image_size : FEED_IMAGE_SIZE;
    return (feed_shape_t){.pictures = true,
                          .format = source_format(source),
                          .height = size,
                          .width = size,
                          .channels = 3,
                          .classes = shape->classes,
                          .train_count = shape->count[SOURCE_TRAIN],
                          .test_count = shape->count[SOURCE_TEST]};
}

static sgp_status_t check_size(const char *data, const char *format, int image_size) {
    if (image_size == 0) return SGP_OK;
    return sgp_fail(SGP_ERR_INVALID,
                    "image-size is %d: data %s (%s) have pixels of one size, which is taken",
                    image_size, data, format);
}

static sgp_status_t inspect(const char *data, int image_size, feed_shape_t *shape) {
    bool pictures;
    const char *format;
    source_t *source;
    dataset_shape_t pixels;
    sgp_status_t status = source_find(data, &format, &pictures);
    if (status) return status;
    if (pictures) {
        status = source_open(data, &source);
        if (status) return status;
        *shape = shape_of_pictures(source, image_size);
        source_close(source);
        return SGP_OK;
    }
    status = check_size(data, format, image_size);
    if (!status) status = dataset_inspect(data, &pixels);
    if (!status) *shape = shape_of_pixels(&pixels, format);
    return status;
}

sgp_status_t feed_inspect(const char *data, int64_t limit, int image_size, feed_shape_t *shape) {
    feed_shape_t found;
    sgp_status_t status = inspect(data, image_size, &found);
    if (!status) status = check_limit(data, limit, found.train_count);
    if (status) return status;
    if (limit > 0) found.train_count = (uint64_t)limit;
    *shape = found;
    return SGP_OK;
}

sgp_status_t feed_check(const char *data, int64_t limit) {
    bool pictures;
    const char *format;
    dataset_t *dataset = NULL;
    sgp_status_t status = source_find(data, &format, &pictures);
    if (!status && !pictures) status = dataset_load(data, limit, &dataset);
    dataset_destroy(dataset);
    return status;
}

double feed_ahead_bytes(int image_size, int batch) {
    return (double)pipeline_memory_bytes(image_size, batch);
}

double feed_memory_bytes(const feed_shape_t *shape, int batch, int threads) {
    double samples = (double)shape->train_count + (double)shape->test_count;
    double pixels = (double)shape->height * shape->width * shape->channels;
    if (!shape->pictures) return pixels * samples;
    return LIST_BYTES * samples + feed_ahead_bytes(shape->height, batch) +
           (double)PHOTOGRAPH_BYTES * (threads > 0 ? threads : 1);
}

/* ---- making it ---- */

/* The class of a sample. */
static uint32_t label_of(const void *context, uint64_t sample) {
    const feed_t *feed = context;
    if (feed->dataset) return feed->dataset->train.labels[sample];
    return source_label(feed->source, SOURCE_TRAIN, feed->chosen ? feed->chosen[sample] : sample);
}

static sgp_status_t make_order(feed_t *feed) {
    const feed_options_t *options = &feed->options;
    return feed_order_init(&feed->order,
                           &(feed_order_options_t){.data = options->data,
                                                   .format = feed->shape.format,
                                                   .count = feed->shape.train_count,
                                                   .classes = feed->shape.classes,
                                                   .rank = options->rank,
                                                   .size = options->size,
                                                   .workers = options->workers,
                                                   .batch = options->batch,
                                                   .seed = options->seed,
                                                   .shard_per_node = options->shard_per_node,
                                                   .private_data = options->private_data,
                                                   .split = options->split,
                                                   .label = label_of,
                                                   .label_context = feed});
}

/* Of pictures: as many as the limit says. */
static sgp_status_t choose(feed_t *feed) {
    uint64_t count = feed->shape.train_count, limit = (uint64_t)feed->options.limit;
    if (limit == 0 || limit == count) return SGP_OK;
    sgp_status_t status = feed_order_choose(feed->options.seed, count, limit, &feed->chosen);
    if (!status) feed->shape.train_count = limit;
    return status;
}

static void make_loader(feed_t *feed) {
    const feed_options_t *options = &feed->options;
    loader_init(&feed->loader, &(loader_options_t){.dataset = feed->dataset,
                                                   .augment = options->augment,
                                                   .seed = options->seed,
                                                   .rank = feed->seat});
}

static sgp_status_t open_pixels(feed_t *feed, const char *format) {
    feed_options_t *options = &feed->options;
    sgp_status_t status = check_size(options->data, format, options->image_size);
    if (!status) status = dataset_load(options->data, options->limit, &feed->dataset);
    if (status) return status;
    feed->shape = shape_of_pixels(&feed->dataset->shape, format);
    make_loader(feed);
    size_t batch = (size_t)options->batch;
    feed->indices = sgp_memory_alloc(batch * sizeof *feed->indices);
    feed->images =
        sgp_memory_alloc(batch * loader_sample_floats(&feed->loader) * sizeof *feed->images);
    feed->labels = sgp_memory_alloc(batch * sizeof *feed->labels);
    feed->places = sgp_memory_alloc(batch * sizeof *feed->places);
    if (!feed->indices || !feed->images || !feed->labels || !feed->places)
        return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a batch of %zu samples", batch);
    return make_order(feed);
}

static sgp_status_t open_pictures(feed_t *feed) {
    feed_options_t *options = &feed->options;
    sgp_status_t status = source_open(options->data, &feed->source);
    if (status) return status;
    feed->shape = shape_of_pictures(feed->source, options->image_size);
    feed->picture = picture_options(feed->shape.height);
    feed->picture.jitter = options->jitter;
    status = check_limit(options->data, options->limit, feed->shape.train_count);
    if (!status) status = choose(feed);
    if (!status) status = make_order(feed);
    if (status) return status;
    return pipeline_create(&(pipeline_options_t){.source = feed->source,
                                                 .picture = feed->picture,
                                                 .augment = options->augment,
                                                 .skip_bad = options->skip_bad,
                                                 .batch = options->batch,
                                                 .threads = options->threads,
                                                 .seed = feed->order.seed},
                           &feed->pipeline);
}

sgp_status_t feed_create(const feed_options_t *options, feed_t **feed) {
    bool pictures;
    const char *format;
    sgp_status_t status = source_find(options->data, &format, &pictures);
    if (status) return status;
    feed_t *made = calloc(1, sizeof *made);
    if (!made) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for the data of a node");
    made->options = *options;
    if (made->options.workers == 0) made->options.workers = 1;
    if (made->options.threads == 0) made->options.threads = 1;
    made->seat = options->rank / made->options.workers;
    made->shape.format = format;
    status = pictures ? open_pictures(made) : open_pixels(made, format);
    made->options.data = NULL;
    if (status) feed_destroy(made);
    else *feed = made;
    return status;
}

/* Also after a failed create: what was not made is NULL. A thread that is left behind keeps everything. */
void feed_destroy(feed_t *feed) {
    if (!feed || !pipeline_destroy(feed->pipeline)) return;
    feed_order_fini(&feed->order);
    source_close(feed->source);
    dataset_destroy(feed->dataset);
    free(feed->chosen);
    sgp_memory_free(feed->places);
    sgp_memory_free(feed->indices);
    sgp_memory_free(feed->images);
    sgp_memory_free(feed->labels);
    free(feed);
}

/* ---- questions ---- */

const feed_shape_t *feed_shape(const feed_t *feed) {
    return &feed->shape;
}

const float *feed_mean(const feed_t *feed) {
    return feed->dataset ? feed->dataset->mean : feed->picture.mean;
}

const float *feed_deviation(const feed_t *feed) {
    return feed->dataset ? feed->dataset->deviation : feed->picture.deviation;
}

void feed_normalise(feed_t *feed, const float *mean, const float *deviation) {
    if (feed->pipeline) {
        memcpy(feed->picture.mean, mean, sizeof feed->picture.mean);
        memcpy(feed->picture.deviation, deviation, sizeof feed->picture.deviation);
        pipeline_normalise(feed->pipeline, mean, deviation);
        return;
    }
    for (int c = 0; c < feed->shape.channels; c++) {
        feed->dataset->mean[c] = mean[c];
        feed->dataset->deviation[c] = deviation[c];
    }
    make_loader(feed);
}

uint64_t feed_checksum(const feed_t *feed) {
    return feed->dataset ? feed->dataset->checksum : source_fingerprint(feed->source);
}

const division_t *feed_division(const feed_t *feed) {
    return feed->order.division.counts ? &feed->order.division : NULL;
}

uint64_t feed_division_hash(const feed_t *feed) {
    return feed->order.division_hash;
}

sgp_status_t feed_set_share(feed_t *feed, int node, int nodes) {
    sgp_status_t status = feed_order_set_share(&feed->order, node, nodes);
    if (!status && feed->pipeline) pipeline_reseed(feed->pipeline, feed->order.seed);
    return status;
}

sgp_status_t feed_set_length(feed_t *feed, uint64_t length) {
    return feed_order_set_length(&feed->order, length);
}

uint64_t feed_epoch_samples(const feed_t *feed, int nodes) {
    return feed_order_samples(&feed->order, nodes);
}

uint64_t feed_steps(const feed_t *feed) {
    return feed_order_steps(&feed->order);
}

int feed_samples(const feed_t *feed, uint64_t step) {
    return sampler_part(&feed->order.sampler, step).count;
}

uint64_t feed_reached(const feed_t *feed, uint64_t step) {
    return sampler_reached(&feed->order.sampler, step);
}

/* ---- members that come and go ---- */

/* Whether the threads of the pipeline ask the sampler. */
static bool is_ahead(const feed_t *feed) {
    return feed->pipeline && feed->course.begun && !feed->course.test;
}

static sgp_status_t rest(feed_t *feed) {
    return is_ahead(feed) ? pipeline_rest(feed->pipeline) : SGP_OK;
}

static void resume(feed_t *feed, uint64_t keep) {
    if (is_ahead(feed)) pipeline_resume(feed->pipeline, keep, feed_steps(feed));
}

sgp_status_t feed_tell(feed_t *feed, const segments_event_t *events, size_t count, uint64_t step) {
    uint64_t changed = step;
    if (feed_order_keeps_parts(&feed->order)) return SGP_OK;
    sgp_status_t status = rest(feed);
    if (status) return status;
    status = sampler_tell(&feed->order.sampler, events, count, step, &changed);
    resume(feed, changed);
    return status;
}

sgp_status_t feed_pass_over(feed_t *feed, uint64_t first, uint64_t step) {
    segments_event_t pass = {SEGMENTS_PASSES, feed->order.sampler.self, first, step, 0};
    sgp_status_t status = feed->pipeline ? pipeline_pause(feed->pipeline) : SGP_OK;
    if (!status) status = sampler_tell(&feed->order.sampler, &pass, 1, step, NULL);
    feed->course.at = step;
    feed->course.begun = false;
    return status;
}

sgp_status_t feed_report(const feed_t *feed, unsigned char *bytes, size_t room, size_t *size) {
    return sampler_report(&feed->order.sampler, bytes, room, size);
}

sgp_status_t feed_merge(feed_t *feed, uint64_t step, const sampler_report_t *reports,
                        size_t count) {
    if (feed_order_keeps_parts(&feed->order)) return SGP_OK;
    sgp_status_t status = rest(feed);
    if (status) return status;
    status = sampler_merge(&feed->order.sampler, step, reports, count);
    resume(feed, step);
    return status;
}

sgp_status_t feed_make_up(feed_t *feed, uint64_t step, const sampler_report_t *reports,
                          size_t count) {
    if (feed_order_keeps_parts(&feed->order)) return SGP_OK;
    sgp_status_t status = rest(feed);
    if (status) return status;
    status = sampler_make_up(&feed->order.sampler, step, reports, count);
    resume(feed, step);
    return status;
}

sgp_status_t feed_missed(const feed_t *feed, uint64_t until, uint64_t *missed) {
    return sampler_missed(&feed->order.sampler, until, missed);
}

size_t feed_state_bytes(const feed_t *feed) {
    return sampler_state_bytes(&feed->order.sampler);
}

void feed_save(const feed_t *feed, unsigned char *bytes) {
    sampler_save(&feed->order.sampler, bytes);
}

/* The sampler changes as a whole: nothing that is ready is of use. */
static sgp_status_t begin_anew(feed_t *feed) {
    sgp_status_t status = is_ahead(feed) ? pipeline_pause(feed->pipeline) : SGP_OK;
    feed->course.begun = false;
    return status;
}

sgp_status_t feed_restore(feed_t *feed, const unsigned char *bytes, size_t size) {
    sgp_status_t status = begin_anew(feed);
    return status ? status : sampler_restore(&feed->order.sampler, bytes, size);
}

static sgp_status_t refuse_parts(const feed_t *feed) {
    if (!feed_order_keeps_parts(&feed->order)) return SGP_OK;
    return sgp_fail(SGP_ERR_INVALID, "%s: the parts of the nodes stay as they are",
                    feed->options.private_data ? "private-data" : "shard-per-node");
}

sgp_status_t feed_set_members(feed_t *feed, uint64_t step, int rank, int size) {
    sgp_status_t status = refuse_parts(feed);
    if (!status) status = begin_anew(feed);
    return status ? status : sampler_set_members(&feed->order.sampler, step, rank, size);
}

sgp_status_t feed_set_plan(feed_t *feed, uint64_t step, const uint64_t *members, int nodes,
                           uint64_t self) {
    sgp_status_t status = refuse_parts(feed);
    if (!status) status = begin_anew(feed);
    return status ? status : sampler_set_plan(&feed->order.sampler, step, members, nodes, self);
}

sgp_status_t feed_set_self(feed_t *feed, uint64_t self) {
    sgp_status_t status = begin_anew(feed);
    if (!status) sampler_set_self(&feed->order.sampler, self);
    return status;
}

void feed_set_seat(feed_t *feed, int node) {
    feed->seat = node;
    if (feed->dataset) make_loader(feed);
}

/* ---- batches ---- */

sgp_status_t feed_begin_epoch(feed_t *feed, uint64_t epoch, uint64_t step) {
    sgp_status_t status = feed->pipeline ? pipeline_pause(feed->pipeline) : SGP_OK;
    if (status) return status;
    sampler_begin_epoch(&feed->order.sampler, epoch);
    feed->course = (course_t){.epoch = epoch, .at = step};
    return SGP_OK;
}

sgp_status_t feed_continue_epoch(feed_t *feed, uint64_t epoch, uint64_t first, uint64_t position,
                                 uint64_t step) {
    sgp_status_t status = feed_begin_epoch(feed, epoch, step);
    if (status) return status;
    sampler_begin_rest(&feed->order.sampler, first, position);
    return SGP_OK;
}

void feed_begin_test(feed_t *feed, uint64_t first, uint64_t end) {
    feed->course = (course_t){.test = true, .at = first, .end = end};
}

/* What the random crops of a batch follow: the samples, or their places in an order of the node's own, in which a sample may
 * come again. (batch) */
static const uint64_t *crops_of(const feed_t *feed) {
    const sampler_t *sampler = &feed->order.sampler;
    if (!sampler->options.own) return feed->indices;
    cursor_part_t part = sampler_part(sampler, feed->course.at);
    for (int i = 0; i < feed->options.batch; i++)
        feed->places[i] = sampler_entry(sampler, feed->course.at, &part, i);
    return feed->places;
}

static void next_pixels(feed_t *feed, feed_batch_t *batch) {
    course_t *course = &feed->course;
    *batch = (feed_batch_t){.images = feed->images, .labels = feed->labels};
    if (course->test) {
        uint64_t left = course->end - course->at, most = (uint64_t)feed->options.batch;
        batch->count = batch->valid = (int)(left < most ? left : most);
        loader_test(&feed->loader, (uint32_t)course->at, batch->count, feed->images, feed->labels);
        course->at += (uint64_t)batch->count;
        return;
    }
    batch->count = feed->options.batch;
    batch->valid = sampler_batch(&feed->order.sampler, course->at, feed->indices);
    loader_train_at(&feed->loader, course->epoch, feed->indices, crops_of(feed), batch->count,
                    feed->images, feed->labels);
    course->at++;
}

static sgp_status_t begin_pass(feed_t *feed) {
    course_t *course = &feed->course;
    course->begun = true;
    if (course->test) return pipeline_test(feed->pipeline, course->at, course->end);
    pipeline_order_t order = {&feed->order.sampler, feed->chosen, feed->order.first};
    return pipeline_train(feed->pipeline, &order, course->epoch, course->at, feed_steps(feed));
}

static sgp_status_t next_pictures(feed_t *feed, feed_batch_t *batch) {
    pipeline_batch_t found;
    sgp_status_t status = feed->course.begun ? SGP_OK : begin_pass(feed);
    if (!status) status = pipeline_next(feed->pipeline, &found);
    if (!status)
        *batch = (feed_batch_t){found.images, found.labels, found.count, found.valid, found.bad};
    return status;
}

sgp_status_t feed_next(feed_t *feed, feed_batch_t *batch) {
    if (feed->pipeline) return next_pictures(feed, batch);
    next_pixels(feed, batch);
    return SGP_OK;
}
