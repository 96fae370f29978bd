/* SPDX-License-Identifier: Apache-2.0 */
/* The CPU time by which a picture becomes the input of a network, on one thread.
 *
 *     bench_data [--test] [--size N] [--seconds S] FILE...
 *     bench_data --levels CROPS FILE...
 *
 * reads the files into memory, then decodes and augments them in turn (--test: resizes and crops, as
 * for evaluation) for about S seconds of CPU time. Prints the mean microseconds per picture.
 * bench/data alternates it with others. --levels writes, per file, the bytes of red, green and blue of
 * the evaluation and of the training crops of random = 0 .. CROPS - 1, before normalisation. */
#include "data/picture/picture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct file {
    const char *path;
    uint8_t *bytes;
    size_t size;
} file_t;

static double cpu_seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static bool read_file(file_t *file) {
    FILE *stream = fopen(file->path, "rb");
    if (!stream || fseek(stream, 0, SEEK_END) != 0) return false;
    file->size = (size_t)ftell(stream);
    file->bytes = malloc(file->size ? file->size : 1);
    rewind(stream);
    bool whole = file->bytes && fread(file->bytes, 1, file->size, stream) == file->size;
    fclose(stream);
    return whole;
}

typedef struct work {
    picture_worker_t *worker;
    picture_options_t options;
    bool test;
    float *out;
} work_t;

static bool once(work_t *work, const file_t *file, uint64_t random) {
    sgp_status_t status =
        work->test ? picture_test(work->worker, &work->options, file->bytes, file->size, work->out)
                   : picture_train(work->worker, &work->options, file->bytes, file->size, random,
                                   work->out);
    if (status) fprintf(stderr, "bench_data: %s: %s\n", file->path, picture_reason(work->worker));
    return status == SGP_OK;
}

static bool measure(work_t *work, const file_t *files, int count, double seconds) {
    double start = cpu_seconds(), now = start;
    uint64_t done = 0;
    do {
        for (int i = 0; i < count; i++)
            if (!once(work, &files[i], done++)) return false;
        now = cpu_seconds();
    } while (now - start < seconds);
    printf("%.1f\n", (now - start) / (double)done * 1e6);
    return true;
}

static bool write_levels(work_t *work, const file_t *files, int count, int crops) {
    size_t floats = (size_t)work->options.size * (size_t)work->options.size * 3;
    for (int c = 0; c < 3; c++) {
        work->options.mean[c] = 0;
        work->options.deviation[c] = 1;
    }
    for (int i = 0; i < count * (crops + 1); i++) {
        int crop = i % (crops + 1) - 1;
        work->test = crop < 0;
        if (!once(work, &files[i / (crops + 1)], (uint64_t)crop)) return false;
        for (size_t j = 0; j < floats; j++) putchar((int)work->out[j]);
    }
    return true;
}

int main(int argc, char **argv) {
    work_t work = {.options = picture_options(224)};
    double seconds = 1;
    int i = 1, crops = 0;
    for (; i < argc && !strncmp(argv[i], "--", 2); i++) {
        if (!strcmp(argv[i], "--test")) work.test = true;
        else if (!strcmp(argv[i], "--size") && i + 1 < argc)
            work.options = picture_options(atoi(argv[++i]));
        else if (!strcmp(argv[i], "--levels") && i + 1 < argc) crops = atoi(argv[++i]);
        else if (!strcmp(argv[i], "--seconds") && i + 1 < argc) seconds = atof(argv[++i]);
    }
    int count = argc - i;
    size_t side = (size_t)work.options.size;
    file_t *files = calloc((size_t)(count > 0 ? count : 1), sizeof *files);
    work.out = side >= 1 && side <= 4096 ? malloc(side * side * 3 * sizeof(float)) : NULL;
    if (count < 1 || !files || !work.out || picture_worker_create(0, &work.worker)) {
        fprintf(stderr, "usage: bench_data [--test] [--size N] [--seconds S] FILE...\n");
        return 2;
    }
    bool good = true;
    for (int j = 0; j < count && good; j++) {
        files[j].path = argv[i + j];
        good = read_file(&files[j]);
        if (!good) perror(files[j].path);
    }
    good = good && (crops > 0 ? write_levels(&work, files, count, crops)
                              : measure(&work, files, count, seconds));
    for (int j = 0; j < count; j++) free(files[j].bytes);
    picture_worker_destroy(work.worker);
    free(work.out);
    free(files);
    return good ? 0 : 1;
}
