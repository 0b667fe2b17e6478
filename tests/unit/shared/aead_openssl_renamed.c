/* SPDX-License-Identifier: BSD-3-Clause */
/* The OpenSSL implementation under other names, so that one program can hold both. */
#define aead_init openssl_init
#define aead_key_set openssl_key_set
#define aead_key_clear openssl_key_clear
#define aead_seal openssl_seal
#define aead_open openssl_open
#define aead_prefetch openssl_prefetch
#define aead_brief_set openssl_brief_set
#define aead_brief_clear openssl_brief_clear
#define aead_brief_seal openssl_brief_seal
#define aead_brief_open openssl_brief_open
#include "shared/aead_openssl.c"
