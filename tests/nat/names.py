"""A name server that knows these records and no others: ADDRESS, then TYPE NAME VALUE for each. Says `ready` once it listens."""
import ipaddress, socket, struct, sys

TYPES = {"A": 1, "TXT": 16}
address, rest = sys.argv[1], sys.argv[2:]
records = list(zip(rest[::3], rest[1::3], rest[2::3]))


def data(kind, value):
    return ipaddress.ip_address(value).packed if kind == "A" else bytes([len(value)]) + value.encode()


def answer(query):
    number, labels, at = query[:2], [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode())
        at += 1 + query[at]
    question, (wanted,) = query[12 : at + 5], struct.unpack("!H", query[at + 1 : at + 3])
    known = [record for record in records if record[1] == ".".join(labels).lower()]
    found = [data(kind, value) for kind, _, value in known if TYPES[kind] == wanted]
    flags = 0x8580 | (0 if known else 3)  # it is the authority, and there is no such name
    head = number + struct.pack("!5H", flags, 1, len(found), 0, 0)
    # Each about the name asked for, good for a minute.
    return head + question + b"".join(struct.pack("!3HLH", 0xC00C, wanted, 1, 60, len(one)) + one for one in found)


server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind((address, 53))
print("ready", flush=True)
while True:
    query, asker = server.recvfrom(4096)
    server.sendto(answer(query), asker)
