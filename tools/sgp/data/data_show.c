/* SPDX-License-Identifier: Apache-2.0 */
/* `sgp data show`: a contact sheet of a batch, as the network sees it: cropped, resized and augmented, but not
 * normalised. */
#include "data/data_jobs.h"
#include "cli/exit_status.h"
#include "cli/message.h"
#include "data/contact_sheet.h"

#include "base/random.h"
#include "data/loader.h"
#include "data/picture/picture.h"
#include "data/source.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct show {
    const data_settings_t *settings;
    source_t *source;
    source_split_t split;
    uint64_t *indices; /* (batch) */
    contact_sheet_t sheet;
} show_t;

/* Training samples are drawn as for an epoch; test samples are spread over the set, which may be sorted by class. */
static bool choose(show_t *show, int batch) {
    uint64_t count = source_shape(show->source)->count[show->split];
    sgp_random_t random;
    show->indices = malloc((size_t)batch * sizeof *show->indices);
    if (!show->indices) {
        message_error("show: no memory");
        return false;
    }
    sgp_random_init(&random, show->settings->seed, 0);
    for (int i = 0; i < batch; i++)
        show->indices[i] = show->split == SOURCE_TEST ? (uint64_t)i * count / (uint64_t)batch
                                                      : sgp_random_below(&random, count);
    return true;
}

static bool fail(const show_t *show, uint64_t index, const char *reason) {
    char name[SOURCE_NAME_BYTES];
    source_name(show->source, show->split, index, name);
    message_error("%s: %s", name, reason);
    return false;
}

static bool draw_picture(show_t *show, picture_worker_t *worker, source_buffer_t *buffer,
                         float *floats, int cell) {
    const data_settings_t *settings = show->settings;
    picture_options_t options = picture_options(settings->size);
    uint64_t index = show->indices[cell];
    sgp_random_t random;
    sgp_random_init(&random, settings->seed, 1 + (uint64_t)cell);
    sgp_status_t status = source_read(show->source, show->split, index, buffer);
    if (status) return fail(show, index, buffer->reason);
    if (show->split == SOURCE_TEST || !settings->augment)
        status = picture_test(worker, &options, buffer->bytes, buffer->size, floats);
    else
        status = picture_train(worker, &options, buffer->bytes, buffer->size,
                               sgp_random_u64(&random), floats);
    if (status) return fail(show, index, picture_reason(worker));
    contact_sheet_draw(&show->sheet, cell, floats, options.mean, options.deviation);
    return true;
}

static bool draw_pictures(show_t *show, int batch) {
    picture_worker_t *worker = NULL;
    source_buffer_t buffer = {0};
    size_t side = (size_t)show->settings->size;
    float *floats = malloc(side * side * 3 * sizeof *floats);
    bool drawn = floats && picture_worker_create(0, &worker) == SGP_OK;
    if (!drawn) message_error("show: no memory");
    for (int i = 0; drawn && i < batch; i++) drawn = draw_picture(show, worker, &buffer, floats, i);
    source_buffer_fini(&buffer);
    picture_worker_destroy(worker);
    free(floats);
    return drawn;
}

/* The loader's batches are those of training. */
static bool draw_pixels(show_t *show, int batch) {
    dataset_t *dataset;
    loader_t loader;
    if (dataset_load(show->settings->data, 0, &dataset)) return false;
    loader_init(&loader, &(loader_options_t){.dataset = dataset,
                                             .augment = show->settings->augment,
                                             .seed = show->settings->seed});
    float *floats = malloc(loader_sample_floats(&loader) * sizeof *floats);
    if (!floats) message_error("show: no memory");
    for (int i = 0; floats && i < batch; i++) {
        const uint64_t *index = &show->indices[i];
        int32_t label;
        if (show->split == SOURCE_TEST) loader_test(&loader, (uint32_t)*index, 1, floats, &label);
        else loader_train(&loader, 0, index, 1, floats, &label);
        contact_sheet_draw(&show->sheet, i, floats, dataset->mean, dataset->deviation);
    }
    dataset_destroy(dataset);
    bool drawn = floats != NULL;
    free(floats);
    return drawn;
}

static void print_labels(const show_t *show, int batch) {
    char name[SOURCE_NAME_BYTES];
    printf("written     %s, %d x %d pixels\n", show->settings->output, show->sheet.pixels.width,
           show->sheet.pixels.height);
    printf("%4s %6s  %-24s %s\n", "row", "column", "class", "sample");
    for (int i = 0; i < batch; i++) {
        uint32_t label = source_label(show->source, show->split, show->indices[i]);
        source_name(show->source, show->split, show->indices[i], name);
        printf("%4d %6d  %-24s %s\n", i / show->sheet.columns + 1, i % show->sheet.columns + 1,
               source_class_name(show->source, (int)label), name);
    }
}

int data_show(const data_settings_t *settings) {
    show_t show = {.settings = settings, .split = settings->test ? SOURCE_TEST : SOURCE_TRAIN};
    sgp_status_t opened = source_open(settings->data, &show.source);
    if (opened) return exit_status_of(opened);
    const source_shape_t *shape = source_shape(show.source);
    int batch = settings->batch, status = EXIT_FAILED;
    int width = shape->encoded ? settings->size : shape->width;
    int height = shape->encoded ? settings->size : shape->height;
    if (!contact_sheet_init(&show.sheet, batch, width, height, shape->channels))
        message_error("show: a sheet of %d pictures of %d x %d is too large", batch, width, height);
    else if (choose(&show, batch) &&
             (shape->encoded ? draw_pictures(&show, batch) : draw_pixels(&show, batch)) &&
             contact_sheet_write(&show.sheet, settings->output)) {
        status = 0;
        if (!settings->quiet) print_labels(&show, batch);
    }
    contact_sheet_fini(&show.sheet);
    free(show.indices);
    source_close(show.source);
    return status;
}
