/* SPDX-License-Identifier: Apache-2.0 */
/* A run as lines of text: facts, the curve of the loss, a table of the members with bars of a step's time. Colours only
 * repeat what words and marks say. */
#ifndef SGP_WATCH_WATCH_TEXT_H
#define SGP_WATCH_WATCH_TEXT_H

#include "watch/watch_view.h"

#include <stdio.h>

typedef struct watch_style {
    int width;    /* columns, no line is longer; at least 20 count */
    int height;   /* lines; 0: as many as there are */
    bool utf8;    /* the curve has blocks; else digits */
    bool colours; /* escape sequences of our own */
} watch_style_t;

/* From the environment: UTF-8 by LC_ALL, LC_CTYPE or LANG; colours unless NO_COLOR is set or TERM is dumb. */
watch_style_t watch_style_of(int width, int height, bool terminal);

/* Each line ends in `end`. */
void watch_text_draw(FILE *out, const watch_view_t *view, const watch_style_t *style,
                     const char *end);

#endif
