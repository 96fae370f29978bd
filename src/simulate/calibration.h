/* SPDX-License-Identifier: Apache-2.0 */
/* Calibrations: the JSON in which `sgp bench` writes its measurements of a machine. Called by tools/sgp; opens no file. */
#ifndef SGP_SIMULATE_CALIBRATION_H
#define SGP_SIMULATE_CALIBRATION_H

#include "simulate/simulation_settings.h"

#include <jansson.h>

typedef struct simulation_calibration {
    simulation_network_t network;
    simulation_compute_t compute;
    simulation_local_t local;
    double pass_parameters; /* numbers in the vector of which `local` was measured */
    double parameters;      /* of the measured model */
    int batch_size;
    char *model; /* the measured model's name; the caller frees it */
} simulation_calibration_t;

/* Values that the JSON lacks stay as they are. SGP_ERR_FORMAT: *wrong names the member that is not as `sgp bench` writes
 * it, or "the whole"; not logged, because the caller knows the file. SGP_ERR_NO_MEMORY. */
sgp_status_t simulation_calibration_read(const json_t *json, simulation_calibration_t *calibration,
                                         const char **wrong);

#endif
