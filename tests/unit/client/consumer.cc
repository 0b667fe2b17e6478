/* SPDX-License-Identifier: BSD-3-Clause */
/* A program outside this project, built against the installed library as C and as C++. */
#include <rookery/runtime.h>

#include <stdio.h>
#include <string.h>

int
main(void)
{
	struct rk_store *store = rk_store_memory();
	struct rk_client *client = NULL;
	struct rk_config config;
	uint8_t secret[RK_KEY_SIZE];

	memset(&config, 0, sizeof(config));
	config.user = "alice";
	config.device_secret = secret;
	config.store = store;
	if (store == NULL || rk_device_key_generate(secret) < 0 || rk_client_new(&client, &config) < 0)
		return 1;
	puts(rk_status_name(RK_STATUS_ONLINE));
	rk_client_free(client);
	rk_store_close(store);
	return 0;
}
