/* SPDX-License-Identifier: Apache-2.0 */
/* A file in Chrome's trace event format, for ui.perfetto.dev and chrome://tracing: spans of time on
 * the threads of numbered processes. Source: "Trace Event Format",
 * https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
 *
 * The file is valid JSON except between open and close: its last bytes are then being replaced. It
 * only grows. Times in the file are microseconds since its origin. */
#ifndef SGP_FILES_TRACE_FILE_H
#define SGP_FILES_TRACE_FILE_H

#include <sgp/status.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Embedded; fields are private. All zero: no file. */
typedef struct trace_file {
    const char *directory, *name; /* borrowed */
    uint64_t origin;              /* nanoseconds */
    long end;                     /* of the last event, bytes */
    FILE *stream;                 /* NULL: closed */
} trace_file_t;

/* A thread of a process. Both numbers are at least 1, since viewers reserve 0 for the idle process,
 * and a thread's number is unique in the whole file, since some viewers require it. */
typedef struct trace_file_track {
    int process, thread;
} trace_file_track_t;

/* Replaces directory/name by a file without spans in which process 1 has a name. directory and
 * name are borrowed until the last call. origin: nanoseconds of the spans' clock. SGP_ERR_IO,
 * logged. */
sgp_status_t trace_file_create(trace_file_t *file, const char *directory, const char *name,
                               uint64_t origin, const char *process_name);

/* Goes on with a file that another process has created with the same origin and does not write any more; one that it has
 * left in the middle of its writing, or that is missing, is replaced by a file without spans, with a warning. Arguments and
 * errors as trace_file_create. */
sgp_status_t trace_file_adopt(trace_file_t *file, const char *directory, const char *name,
                              uint64_t origin, const char *process_name);

/* Opens the file for the calls below. SGP_ERR_IO, logged. */
sgp_status_t trace_file_open(trace_file_t *file);

/* Completes the file. SGP_ERR_IO, logged: the events since open are taken back. */
sgp_status_t trace_file_close(trace_file_t *file);

/* Names a track. The orders are the positions of the process among processes and of the thread in
 * its process. */
void trace_file_name(trace_file_t *file, trace_file_track_t track, const char *process_name,
                     int process_order, const char *thread_name, int thread_order);

/* A remark beside the process's name. */
void trace_file_label(trace_file_t *file, trace_file_track_t track, const char *text);

/* [start, end) in nanoseconds, cut at the origin; an empty span is left out. */
void trace_file_span(trace_file_t *file, trace_file_track_t track, const char *name, uint64_t start,
                     uint64_t end, uint32_t step);

/* A moment, and what it is of. text: plain. */
void trace_file_instant(trace_file_t *file, trace_file_track_t track, const char *name,
                        uint64_t time, uint64_t step, const char *text);

/* An arrow between spans or moments of two tracks: its two ends have the same id. */
void trace_file_arrow(trace_file_t *file, trace_file_track_t track, bool begins, uint64_t id,
                      uint64_t time);

#endif
