/* SPDX-License-Identifier: Apache-2.0 */
#include "files/trace_file.h"

#include "base/logging.h"
#include "files/atomic_file.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

static const char head[] = "{\"displayTimeUnit\": \"ms\", \"traceEvents\": [\n";
static const char tail[] = "\n]}\n";

static sgp_status_t fail(const trace_file_t *file) {
    return sgp_fail(SGP_ERR_IO, "%s/%s: cannot be written: %s", file->directory, file->name,
                    strerror(errno));
}

static void join(const trace_file_t *file, char path[PATH_MAX]) {
    snprintf(path, PATH_MAX, "%s/%s", file->directory, file->name);
}

sgp_status_t trace_file_create(trace_file_t *file, const char *directory, const char *name,
                               uint64_t origin, const char *process_name) {
    char first[256];
    *file = (trace_file_t){.directory = directory, .name = name, .origin = origin};
    int length = snprintf(first, sizeof first,
                          "{\"ph\": \"M\", \"name\": \"process_name\", \"pid\": 1, \"args\": "
                          "{\"name\": \"%.64s\"}}",
                          process_name);
    const atomic_file_part_t parts[] = {
        {head, sizeof head - 1}, {first, (size_t)length}, {tail, sizeof tail - 1}};
    file->end = (long)sizeof head - 1 + length;
    return atomic_file_replace(directory, name, parts, 3);
}

/* The end of the last event in a whole file; -1: there is none. */
static long find_end(const trace_file_t *file) {
    char path[PATH_MAX], last[sizeof tail] = "";
    const long length = (long)sizeof tail - 1;
    join(file, path);
    FILE *stream = fopen(path, "re");
    if (!stream) return -1;
    bool whole = fseek(stream, -length, SEEK_END) == 0 &&
                 fread(last, 1, (size_t)length, stream) == (size_t)length &&
                 memcmp(last, tail, (size_t)length) == 0;
    long size = ftell(stream);
    fclose(stream);
    return whole ? size - length : -1;
}

sgp_status_t trace_file_adopt(trace_file_t *file, const char *directory, const char *name,
                              uint64_t origin, const char *process_name) {
    *file = (trace_file_t){.directory = directory, .name = name, .origin = origin};
    file->end = find_end(file);
    if (file->end > 0) return SGP_OK;
    sgp_log(SGP_LOG_WARNING, "%s/%s: missing or not whole: beginning a new file", directory, name);
    return trace_file_create(file, directory, name, origin, process_name);
}

sgp_status_t trace_file_open(trace_file_t *file) {
    char path[PATH_MAX];
    join(file, path);
    file->stream = fopen(path, "r+e");
    if (file->stream && fseek(file->stream, file->end, SEEK_SET) == 0) return SGP_OK;
    fail(file);
    if (file->stream) fclose(file->stream);
    file->stream = NULL;
    return SGP_ERR_IO;
}

/* Takes the events back that were written since open. */
static void restore(const trace_file_t *file) {
    char path[PATH_MAX];
    join(file, path);
    if (truncate(path, file->end) == 0)
        atomic_file_append(file->directory, file->name, tail, sizeof tail - 1);
}

/* The file never gets shorter, so the new tail covers the old one; only a full disk takes events
 * back. */
sgp_status_t trace_file_close(trace_file_t *file) {
    long end = ftell(file->stream);
    fputs(tail, file->stream);
    bool written = end >= 0 && !ferror(file->stream);
    bool closed = fclose(file->stream) == 0;
    file->stream = NULL;
    if (closed && written) {
        file->end = end;
        return SGP_OK;
    }
    fail(file);
    restore(file);
    return SGP_ERR_IO;
}

static void print_about(trace_file_t *file, trace_file_track_t track, const char *property) {
    fprintf(file->stream,
            ",\n{\"ph\": \"M\", \"name\": \"%s\", \"pid\": %d, \"tid\": %d, \"args\": ", property,
            track.process, track.thread);
}

void trace_file_name(trace_file_t *file, trace_file_track_t track, const char *process_name,
                     int process_order, const char *thread_name, int thread_order) {
    print_about(file, track, "process_name");
    fprintf(file->stream, "{\"name\": \"%s\"}}", process_name);
    print_about(file, track, "process_sort_index");
    fprintf(file->stream, "{\"sort_index\": %d}}", process_order);
    print_about(file, track, "thread_name");
    fprintf(file->stream, "{\"name\": \"%s\"}}", thread_name);
    print_about(file, track, "thread_sort_index");
    fprintf(file->stream, "{\"sort_index\": %d}}", thread_order);
}

void trace_file_label(trace_file_t *file, trace_file_track_t track, const char *text) {
    print_about(file, track, "process_labels");
    fprintf(file->stream, "{\"labels\": \"%s\"}}", text);
}

/* Nanoseconds as microseconds. */
static void print_time(FILE *stream, const char *name, uint64_t ns) {
    fprintf(stream, "\"%s\": %" PRIu64 ".%03u, ", name, ns / 1000, (unsigned)(ns % 1000));
}

void trace_file_span(trace_file_t *file, trace_file_track_t track, const char *name, uint64_t start,
                     uint64_t end, uint32_t step) {
    if (start < file->origin) start = file->origin;
    if (end <= start) return;
    fprintf(file->stream, ",\n{\"ph\": \"X\", \"name\": \"%s\", \"pid\": %d, \"tid\": %d, ", name,
            track.process, track.thread);
    print_time(file->stream, "ts", start - file->origin);
    print_time(file->stream, "dur", end - start);
    fprintf(file->stream, "\"args\": {\"step\": %" PRIu32 "}}", step);
}

void trace_file_instant(trace_file_t *file, trace_file_track_t track, const char *name,
                        uint64_t time, uint64_t step, const char *text) {
    if (time < file->origin) return;
    fprintf(file->stream,
            ",\n{\"ph\": \"i\", \"s\": \"t\", \"name\": \"%s\", \"pid\": %d, \"tid\": %d, ", name,
            track.process, track.thread);
    print_time(file->stream, "ts", time - file->origin);
    fprintf(file->stream, "\"args\": {\"step\": %" PRIu64 ", \"of\": \"%s\"}}", step, text);
}

void trace_file_arrow(trace_file_t *file, trace_file_track_t track, bool begins, uint64_t id,
                      uint64_t time) {
    if (time < file->origin) return;
    fprintf(file->stream,
            ",\n{\"ph\": \"%s\", \"bp\": \"e\", \"name\": \"message\", \"cat\": \"message\", "
            "\"pid\": %d, \"tid\": %d, ",
            begins ? "s" : "f", track.process, track.thread);
    print_time(file->stream, "ts", time - file->origin);
    fprintf(file->stream, "\"id\": %" PRIu64 "}", id);
}
