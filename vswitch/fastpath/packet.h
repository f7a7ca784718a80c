/* Frames of a packet socket: the kernel takes the outer tag off, and tells of it beside the frame (packet(7)). */
#ifndef VSWITCH_PACKET_H
#define VSWITCH_PACKET_H

#include <linux/if_packet.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "wire.h"

#ifndef SOL_PACKET
#define SOL_PACKET 263 /* linux/socket.h */
#endif

static inline void shift_header(const uint8_t *raw, int moved, uint8_t *header);

/* Puts a tag into a frame of `got` octets; there is room for it. */
static inline void put_back(uint8_t *raw, size_t got, uint16_t tpid, uint16_t tci)
{
    uint8_t header[HEADER];
    const uint8_t tag[TAG] = {(uint8_t)(tpid >> 8), (uint8_t)tpid, (uint8_t)(tci >> 8), (uint8_t)tci};
    memmove(raw + TYPE + TAG, raw + TYPE, got - TYPE);
    memcpy(raw + TYPE, tag, TAG);
    shift_header(raw, TAG, header);
    memcpy(raw, header, HEADER);
}

/* As read(2), with the tag where it was. The socket has PACKET_VNET_HDR and PACKET_AUXDATA. */
static inline ssize_t receive_packet(int fd, uint8_t *raw, size_t room)
{
    struct tpacket_auxdata aux;
    union {
        struct cmsghdr header;
        uint8_t octets[CMSG_SPACE(sizeof aux)];
    } control;
    struct iovec part = {raw, room - TAG};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t got = recvmsg(fd, &message, 0);
    if (got < TYPE)
        return got;
    const struct cmsghdr *told = CMSG_FIRSTHDR(&message);
    if (told == NULL || told->cmsg_level != SOL_PACKET || told->cmsg_type != PACKET_AUXDATA ||
        told->cmsg_len < CMSG_LEN(sizeof aux))
        return got;
    memcpy(&aux, CMSG_DATA(told), sizeof aux);
    if (!(aux.tp_status & TP_STATUS_VLAN_VALID))
        return got;
    put_back(raw, (size_t)got, aux.tp_status & TP_STATUS_VLAN_TPID_VALID ? aux.tp_vlan_tpid : 0x8100, aux.tp_vlan_tci);
    return got + TAG;
}

#endif
