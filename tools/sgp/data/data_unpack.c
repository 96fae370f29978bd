/* SPDX-License-Identifier: Apache-2.0 */
/* `sgp data unpack`: a folder of pictures by class from any source. */
#include "data/data_jobs.h"
#include "cli/exit_status.h"
#include "cli/message.h"
#include "data/output_folder.h"
#include "data/parallel.h"
#include "data/recode.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PER_ITEM = 256 }; /* samples that a thread takes at once */

typedef struct unpack {
    const data_settings_t *settings;
    source_t *source;
    recode_options_t recode;
    output_folder_t folder;
    char **classes; /* (classes) names of folders */
    uint64_t count[SOURCE_SPLITS];
    recode_t *recodes; /* (threads) */
} unpack_t;

static const char *const split_names[SOURCE_SPLITS] = {"train", "val"};

static bool write_file(const char *path, const recode_picture_t *picture) {
    FILE *file = fopen(path, "wxe");
    bool written = file && fwrite(picture->bytes, 1, picture->size, file) == picture->size;
    int error = errno;
    if (file && fclose(file) != 0 && written) {
        written = false;
        error = errno;
    }
    if (!written) message_error("%s: cannot be written: %s", path, strerror(error));
    return written;
}

static bool write_sample(unpack_t *unpack, recode_t *recode, source_split_t split, uint64_t index) {
    char path[PATH_MAX + 512], stem[RECODE_STEM];
    recode_picture_t picture;
    if (!recode_sample(recode, &unpack->recode, split, index, &picture)) return false;
    recode_stem(unpack->source, split, index, stem);
    snprintf(path, sizeof path, "%s/%s/%s/%06llu%s%s.%s", unpack->folder.part, split_names[split],
             unpack->classes[source_label(unpack->source, split, index)], (unsigned long long)index,
             *stem ? "-" : "", stem, picture.ending);
    return write_file(path, &picture);
}

static int write_samples(void *context, parallel_t *parallel, int thread, uint64_t item) {
    unpack_t *unpack = context;
    uint64_t all = unpack->count[SOURCE_TRAIN] + unpack->count[SOURCE_TEST];
    uint64_t end = (item + 1) * PER_ITEM < all ? (item + 1) * PER_ITEM : all;
    for (uint64_t i = item * PER_ITEM; i < end; i++) {
        bool train = i < unpack->count[SOURCE_TRAIN];
        source_split_t split = train ? SOURCE_TRAIN : SOURCE_TEST;
        uint64_t number = train ? i : i - unpack->count[SOURCE_TRAIN];
        /* With --limit-samples every so many-th: the first ones may all be of one class. */
        uint64_t index = number * source_shape(unpack->source)->count[split] / unpack->count[split];
        if (!write_sample(unpack, &unpack->recodes[thread], split, index)) return EXIT_FAILED;
        if (!parallel_advance(parallel, 1)) return 0;
    }
    return 0;
}

static bool fail_memory(void) {
    message_error("unpack: no memory");
    return false;
}

/* A class as the name of a folder: "T-shirt/top" is "T-shirt-top". NULL: no memory. */
static char *folder_name(const char *class) {
    char *name = strdup(*class ? class : "_");
    for (char *at = name; at && *at; at++)
        if (*at == '/' || (unsigned char)*at < ' ' || *at == 0x7f) *at = '-';
    if (name && *name == '.') *name = '_';
    return name;
}

/* One folder for each class of each split, for the classes that have pictures. */
static bool make_folders(unpack_t *unpack) {
    int classes = source_shape(unpack->source)->classes;
    unpack->classes = calloc((size_t)classes, sizeof *unpack->classes);
    if (!unpack->classes) return fail_memory();
    for (int i = 0; i < classes; i++) {
        unpack->classes[i] = folder_name(source_class_name(unpack->source, i));
        if (!unpack->classes[i]) return fail_memory();
        for (int split = 0; split < SOURCE_SPLITS; split++) {
            char name[PATH_MAX];
            snprintf(name, sizeof name, "%s/%.255s", split_names[split], unpack->classes[i]);
            if (!output_folder_make(&unpack->folder, name)) return false;
        }
    }
    return true;
}

static void count_samples(unpack_t *unpack) {
    for (int split = 0; split < SOURCE_SPLITS; split++) {
        uint64_t limit = (uint64_t)unpack->settings->limit;
        unpack->count[split] = source_shape(unpack->source)->count[split];
        if (limit > 0 && limit < unpack->count[split]) unpack->count[split] = limit;
    }
}

static int write_all(unpack_t *unpack) {
    uint64_t all = unpack->count[SOURCE_TRAIN] + unpack->count[SOURCE_TEST];
    parallel_options_t options = {
        .about = "unpack",
        .threads = unpack->settings->threads,
        .quiet = unpack->settings->quiet,
        .items = (all + PER_ITEM - 1) / PER_ITEM,
        .samples = all,
        .body = write_samples,
        .context = unpack,
    };
    int threads = parallel_threads(&options);
    if (!make_folders(unpack)) return EXIT_FAILED;
    unpack->recodes = calloc((size_t)threads, sizeof *unpack->recodes);
    if (!unpack->recodes) {
        fail_memory();
        return EXIT_FAILED;
    }
    int status = parallel_run(&options);
    for (int i = 0; i < threads; i++) recode_fini(&unpack->recodes[i]);
    return status;
}

int data_unpack(const data_settings_t *settings) {
    unpack_t unpack = {.settings = settings};
    sgp_status_t opened = source_open(settings->data, &unpack.source);
    if (opened) return exit_status_of(opened);
    int classes = source_shape(unpack.source)->classes, status = EXIT_MISTAKE;
    unpack.recode = (recode_options_t){
        .source = unpack.source, .resize = settings->resize, .quality = settings->quality};
    count_samples(&unpack);
    if (output_folder_begin(settings->out, NULL, "remove it, or give another folder",
                            &unpack.folder)) {
        status = write_all(&unpack);
        if (status) output_folder_abandon(&unpack.folder);
        else if (!output_folder_finish(&unpack.folder)) status = EXIT_FAILED;
    }
    if (status == 0 && !settings->quiet)
        printf("written     %s\nclasses     %d\ntraining    %llu pictures\ntest        %llu "
               "pictures\n",
               unpack.folder.path, classes, (unsigned long long)unpack.count[SOURCE_TRAIN],
               (unsigned long long)unpack.count[SOURCE_TEST]);
    for (int i = 0; unpack.classes && i < classes; i++) free(unpack.classes[i]);
    free(unpack.classes);
    free(unpack.recodes);
    source_close(unpack.source);
    return status;
}
