/* SPDX-License-Identifier: Apache-2.0 */
/* `sgp data check`: reads and decodes every sample once. */
#include "data/data_jobs.h"
#include "cli/exit_status.h"
#include "cli/message.h"
#include "data/parallel.h"

#include "base/clock.h"
#include "base/constants.h"
#include "data/picture/exif.h"
#include "data/picture/picture.h"
#include "data/source.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { PER_ITEM = 64 }; /* samples that a thread takes at once */

/* What one thread has seen. */
typedef struct seen {
    source_buffer_t buffer;
    picture_worker_t *worker;
    uint64_t bytes, broken, png, grey, turned;
    uint64_t least, most; /* pixels; 0: none yet */
    int least_width, least_height, most_width, most_height;
} seen_t;

typedef struct check {
    const source_t *source;
    uint64_t count[SOURCE_SPLITS];
    seen_t *seen; /* (threads) */
    pthread_mutex_t output;
} check_t;

static void note_size(seen_t *seen, const picture_info_t *info) {
    uint64_t pixels = (uint64_t)info->width * (uint64_t)info->height;
    if (seen->least == 0 || pixels < seen->least) {
        seen->least = pixels;
        seen->least_width = info->width;
        seen->least_height = info->height;
    }
    if (pixels > seen->most) {
        seen->most = pixels;
        seen->most_width = info->width;
        seen->most_height = info->height;
    }
    seen->png += !info->jpeg;
    seen->grey += info->channels <= 2;
}

/* *problem: why the sample is broken, or NULL. SGP_ERR_NO_MEMORY says nothing about the sample. */
static sgp_status_t look(check_t *check, seen_t *seen, source_split_t split, uint64_t index,
                         const char **problem) {
    picture_info_t info;
    *problem = NULL;
    sgp_status_t status = source_read(check->source, split, index, &seen->buffer);
    if (status) *problem = seen->buffer.reason;
    if (status || !source_shape(check->source)->encoded) return status;
    seen->bytes += seen->buffer.size;
    status = picture_inspect(seen->worker, seen->buffer.bytes, seen->buffer.size, &info);
    if (!status) status = picture_check(seen->worker, seen->buffer.bytes, seen->buffer.size);
    if (status) *problem = picture_reason(seen->worker);
    else note_size(seen, &info);
    if (!status && exif_orientation(seen->buffer.bytes, seen->buffer.size) != 1) seen->turned++;
    return status;
}

static int check_sample(check_t *check, seen_t *seen, source_split_t split, uint64_t index) {
    char name[SOURCE_NAME_BYTES];
    const char *problem;
    sgp_status_t status = look(check, seen, split, index, &problem);
    if (status == SGP_OK) return 0;
    source_name(check->source, split, index, name);
    if (status == SGP_ERR_NO_MEMORY) {
        message_error("check: %s: %s", name, problem);
        return EXIT_FAILED;
    }
    seen->broken++;
    pthread_mutex_lock(&check->output);
    printf("%s: %s\n", name, problem);
    pthread_mutex_unlock(&check->output);
    return 0;
}

static int check_samples(void *context, parallel_t *parallel, int thread, uint64_t item) {
    check_t *check = context;
    seen_t *seen = &check->seen[thread];
    uint64_t all = check->count[SOURCE_TRAIN] + check->count[SOURCE_TEST];
    uint64_t end = (item + 1) * PER_ITEM < all ? (item + 1) * PER_ITEM : all;
    if (!seen->worker && picture_worker_create(0, &seen->worker)) {
        message_error("check: no memory");
        return EXIT_FAILED;
    }
    for (uint64_t i = item * PER_ITEM; i < end; i++) {
        bool train = i < check->count[SOURCE_TRAIN];
        int status = check_sample(check, seen, train ? SOURCE_TRAIN : SOURCE_TEST,
                                  train ? i : i - check->count[SOURCE_TRAIN]);
        if (status || !parallel_advance(parallel, 1)) return status;
    }
    return 0;
}

static seen_t add_up(const check_t *check, int threads) {
    seen_t sum = {0};
    for (int i = 0; i < threads; i++) {
        const seen_t *seen = &check->seen[i];
        sum.bytes += seen->bytes;
        sum.broken += seen->broken;
        sum.png += seen->png;
        sum.grey += seen->grey;
        sum.turned += seen->turned;
        if (seen->least > 0 && (sum.least == 0 || seen->least < sum.least)) {
            sum.least = seen->least;
            sum.least_width = seen->least_width;
            sum.least_height = seen->least_height;
        }
        if (seen->most > sum.most) {
            sum.most = seen->most;
            sum.most_width = seen->most_width;
            sum.most_height = seen->most_height;
        }
    }
    return sum;
}

static void report(const check_t *check, const seen_t *sum, double seconds) {
    const source_shape_t *shape = source_shape(check->source);
    uint64_t all = check->count[SOURCE_TRAIN] + check->count[SOURCE_TEST];
    printf("format      %s\nclasses     %d\n", source_format(check->source), shape->classes);
    printf("training    %llu pictures\n", (unsigned long long)check->count[SOURCE_TRAIN]);
    printf("test        %llu pictures\n", (unsigned long long)check->count[SOURCE_TEST]);
    if (!shape->encoded)
        printf("size        %d x %d, %d channel%s\n", shape->width, shape->height, shape->channels,
               shape->channels == 1 ? "" : "s");
    if (shape->encoded && sum->least > 0)
        printf("sizes       %d x %d to %d x %d; %llu PNG, %llu grey\n", sum->least_width,
               sum->least_height, sum->most_width, sum->most_height, (unsigned long long)sum->png,
               (unsigned long long)sum->grey);
    if (shape->encoded) printf("bytes       %.1f MB\n", (double)sum->bytes / 1e6);
    if (sum->turned > 0)
        printf("turned      %llu: their orientation (EXIF) is ignored, as by torchvision\n",
               (unsigned long long)sum->turned);
    printf("broken      %llu\n", (unsigned long long)sum->broken);
    printf("time        %.1f s, %.0f pictures/s\n", seconds,
           seconds > 0 ? (double)all / seconds : 0.0);
}

static int run(check_t *check, const data_settings_t *settings) {
    uint64_t all = check->count[SOURCE_TRAIN] + check->count[SOURCE_TEST];
    parallel_options_t options = {
        .about = "check",
        .threads = settings->threads,
        .quiet = settings->quiet,
        .items = (all + PER_ITEM - 1) / PER_ITEM,
        .samples = all,
        .body = check_samples,
        .context = check,
    };
    int threads = parallel_threads(&options);
    check->seen = calloc((size_t)threads, sizeof *check->seen);
    if (!check->seen) {
        message_error("check: no memory");
        return EXIT_FAILED;
    }
    uint64_t begun = sgp_clock_now();
    int status = parallel_run(&options);
    seen_t sum = add_up(check, threads);
    if (status == 0 && !settings->quiet)
        report(check, &sum, (double)(sgp_clock_now() - begun) / (double)SGP_SECOND);
    for (int i = 0; i < threads; i++) {
        source_buffer_fini(&check->seen[i].buffer);
        picture_worker_destroy(check->seen[i].worker);
    }
    free(check->seen);
    if (status || sum.broken == 0) return status;
    message_error("check: %llu of %llu pictures are broken", (unsigned long long)sum.broken,
                  (unsigned long long)all);
    return EXIT_FAILED;
}

int data_check(const data_settings_t *settings) {
    source_t *source;
    sgp_status_t opened = source_open(settings->data, &source);
    if (opened) return exit_status_of(opened);
    check_t check = {.source = source};
    for (int split = 0; split < SOURCE_SPLITS; split++)
        check.count[split] = source_shape(source)->count[split];
    pthread_mutex_init(&check.output, NULL);
    int status = run(&check, settings);
    pthread_mutex_destroy(&check.output);
    source_close(source);
    return status;
}
