/* SPDX-License-Identifier: Apache-2.0 */
/* `sgp data pack`: shards in WebDataset's layout from any source with pictures. Each thread writes whole shards, so that
 * the files do not depend on the number of threads. */
#include "data/data_jobs.h"
#include "cli/exit_status.h"
#include "cli/message.h"
#include "data/data_order.h"
#include "data/output_folder.h"
#include "data/parallel.h"
#include "data/recode.h"
#include "data/shard_writer.h"

#include "data/formats/shard_files.h"
#include "files/atomic_file.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct pack {
    const data_settings_t *settings;
    source_t *source;
    recode_options_t recode;
    output_folder_t folder;
    uint32_t *order[SOURCE_SPLITS];
    uint64_t shards[SOURCE_SPLITS];
    recode_t *recodes;          /* (threads) */
    atomic_uint_fast64_t bytes; /* of pictures */
} pack_t;

static const char *const split_names[SOURCE_SPLITS] = {"train", "val"};

static bool may_replace(const char *name) {
    size_t length = strlen(name);
    return strcmp(name, SHARD_CLASSES) == 0 || shard_files_is(name, SOURCE_TRAIN) ||
           shard_files_is(name, SOURCE_TEST) ||
           (length > 6 && strcmp(name + length - 6, ".index") == 0);
}

static bool add_sample(pack_t *pack, recode_t *recode, shard_writer_t *writer, source_split_t split,
                       uint64_t place) {
    char stem[RECODE_STEM], key[SHARD_WRITER_KEY + 1];
    recode_picture_t picture;
    uint64_t index = pack->order[split][place];
    if (!recode_sample(recode, &pack->recode, split, index, &picture)) return false;
    recode_stem(pack->source, split, index, stem);
    snprintf(key, sizeof key, "%08llu-%s", (unsigned long long)place, stem);
    shard_item_t item = {.key = key,
                         .ending = picture.ending,
                         .bytes = picture.bytes,
                         .size = picture.size,
                         .label = source_label(pack->source, split, index)};
    atomic_fetch_add(&pack->bytes, picture.size);
    return shard_writer_add(writer, &item);
}

static int write_shard(void *context, parallel_t *parallel, int thread, uint64_t item) {
    pack_t *pack = context;
    source_split_t split = item < pack->shards[SOURCE_TRAIN] ? SOURCE_TRAIN : SOURCE_TEST;
    uint64_t number = split == SOURCE_TRAIN ? item : item - pack->shards[SOURCE_TRAIN];
    uint64_t count = source_shape(pack->source)->count[split], shards = pack->shards[split];
    uint64_t first = count * number / shards, end = count * (number + 1) / shards;
    char name[64];
    shard_writer_t writer;
    snprintf(name, sizeof name, "%s-%06llu.tar", split_names[split], (unsigned long long)number);
    if (!shard_writer_begin(&writer, pack->folder.part, name)) return EXIT_FAILED;
    for (uint64_t i = first; i < end; i++) {
        data_order_read_ahead(pack->source, split, pack->order[split] + first, i - first,
                              end - first);
        bool added = add_sample(pack, &pack->recodes[thread], &writer, split, i);
        if (added && parallel_advance(parallel, 1)) continue;
        shard_writer_abandon(&writer);
        return added ? 0 : EXIT_FAILED; /* stopped, or failed */
    }
    return shard_writer_end(&writer) ? 0 : EXIT_FAILED;
}

static bool write_classes(const pack_t *pack) {
    int classes = source_shape(pack->source)->classes;
    atomic_file_part_t *parts = calloc(2 * (size_t)classes, sizeof *parts);
    bool written = parts != NULL;
    if (!parts) message_error("pack: no memory");
    for (int i = 0; written && i < classes; i++) {
        const char *name = source_class_name(pack->source, i);
        parts[2 * i] = (atomic_file_part_t){name, strlen(name)};
        parts[2 * i + 1] = (atomic_file_part_t){"\n", 1};
        for (; *name; name++)
            if ((unsigned char)*name < ' ' || *name == 0x7f) written = false;
        if (!written) message_error("pack: the name of class %d has a control character", i);
    }
    if (written)
        written =
            atomic_file_replace(pack->folder.part, SHARD_CLASSES, parts, 2 * classes) == SGP_OK;
    free(parts);
    return written;
}

static bool check(pack_t *pack) {
    const source_shape_t *shape = source_shape(pack->source);
    uint64_t shards = (uint64_t)pack->settings->shards;
    if (!shape->encoded) {
        message_error("pack: %s holds pixels (%s), which need no shards; sgp data unpack makes a "
                      "folder of pictures of them",
                      pack->settings->data, source_format(pack->source));
        return false;
    }
    if (shards > shape->count[SOURCE_TRAIN]) {
        message_error("pack: --shards %llu: should be at most %llu, the training pictures of %s",
                      (unsigned long long)shards, (unsigned long long)shape->count[SOURCE_TRAIN],
                      pack->settings->data);
        return false;
    }
    /* Shards of the test set are as large as those of the training set. */
    uint64_t test = (shape->count[SOURCE_TEST] * shards + shape->count[SOURCE_TRAIN] / 2) /
                    shape->count[SOURCE_TRAIN];
    if (test > shape->count[SOURCE_TEST]) test = shape->count[SOURCE_TEST];
    pack->shards[SOURCE_TRAIN] = shards;
    pack->shards[SOURCE_TEST] = test > 0 ? test : 1;
    return true;
}

static int write_all(pack_t *pack) {
    const source_shape_t *shape = source_shape(pack->source);
    parallel_options_t options = {
        .about = "pack",
        .threads = pack->settings->threads,
        .quiet = pack->settings->quiet,
        .items = pack->shards[SOURCE_TRAIN] + pack->shards[SOURCE_TEST],
        .samples = shape->count[SOURCE_TRAIN] + shape->count[SOURCE_TEST],
        .body = write_shard,
        .context = pack,
    };
    int threads = parallel_threads(&options), status = EXIT_FAILED;
    pack->recodes = calloc((size_t)threads, sizeof *pack->recodes);
    for (int split = 0; split < SOURCE_SPLITS; split++) {
        pack->order[split] = data_order(pack->source, (source_split_t)split, pack->settings->seed);
        if (!pack->order[split]) return EXIT_FAILED;
    }
    if (!pack->recodes) message_error("pack: no memory");
    else if (write_classes(pack)) status = parallel_run(&options);
    for (int i = 0; pack->recodes && i < threads; i++) recode_fini(&pack->recodes[i]);
    return status;
}

static void report(const pack_t *pack) {
    const source_shape_t *shape = source_shape(pack->source);
    if (pack->settings->quiet) return;
    printf("written     %s\n", pack->folder.path);
    printf("classes     %d\n", shape->classes);
    for (int split = 0; split < SOURCE_SPLITS; split++)
        printf("%-11s %llu pictures in %llu shard%s\n", split == SOURCE_TRAIN ? "training" : "test",
               (unsigned long long)shape->count[split], (unsigned long long)pack->shards[split],
               pack->shards[split] == 1 ? "" : "s");
    printf("pictures    %.1f MB\n", (double)atomic_load(&pack->bytes) / 1e6);
}

int data_pack(const data_settings_t *settings) {
    pack_t pack = {.settings = settings};
    sgp_status_t opened = source_open(settings->data, &pack.source);
    if (opened) return exit_status_of(opened);
    pack.recode = (recode_options_t){
        .source = pack.source, .resize = settings->resize, .quality = settings->quality};
    int status = EXIT_MISTAKE;
    if (check(&pack) &&
        output_folder_begin(settings->out, settings->overwrite ? may_replace : NULL,
                            settings->overwrite ? "--overwrite replaces shards alone"
                                                : "--overwrite replaces shards that are there",
                            &pack.folder)) {
        status = write_all(&pack);
        if (status) output_folder_abandon(&pack.folder);
        else if (!output_folder_finish(&pack.folder)) status = EXIT_FAILED;
        if (status == 0) report(&pack);
    }
    for (int split = 0; split < SOURCE_SPLITS; split++) free(pack.order[split]);
    free(pack.recodes);
    source_close(pack.source);
    return status;
}
