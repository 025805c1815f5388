"""Carries packets between two hosts' tunnel devices, each after so many milliseconds: NEAR FAR MS."""
import ctypes, fcntl, heapq, os, select, struct, sys, time

near, far, wait = sys.argv[1], sys.argv[2], float(sys.argv[3]) / 1000
libc = ctypes.CDLL(None, use_errno=True)


def tunnel(namespace):
    with open(f"/run/netns/{namespace}") as there:
        if libc.setns(there.fileno(), 0x40000000) != 0:  # CLONE_NEWNET
            raise OSError(ctypes.get_errno(), "setns")
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, 0x400454CA, struct.pack("16sH22x", b"eth0", 0x1001))  # TUNSETIFF, IFF_TUN | IFF_NO_PI
    return device


ends = [tunnel(near), tunnel(far)]
on_the_way, order = [], 0
while True:
    rest = max(0.0, on_the_way[0][0] - time.monotonic()) if on_the_way else None
    for end in select.select(ends, [], [], rest)[0]:
        try:
            packet = os.read(end, 65536)
        except BlockingIOError:
            continue
        if len(on_the_way) < 20000:  # a line has a queue, and the queue an end
            order += 1
            heapq.heappush(on_the_way, (time.monotonic() + wait, order, ends[1 - ends.index(end)], packet))
    while on_the_way and on_the_way[0][0] <= time.monotonic():
        _, _, to, packet = heapq.heappop(on_the_way)
        try:
            os.write(to, packet)
        except OSError:
            pass  # the device's queue is full: the packet is lost, as on any line
