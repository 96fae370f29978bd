/* SPDX-License-Identifier: Apache-2.0 */
/* The part of a preset (run/preset.h) that the defaults of a run need. A pure function. */
#ifndef SGP_RUN_PRESET_RATE_H
#define SGP_RUN_PRESET_RATE_H

/* By which the preset of that name scales a learning rate that its user has not given. */
double preset_rate(const char *preset);

#endif
