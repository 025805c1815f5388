"""A home router that opens ports for those behind it, by UPnP: LAN ADDRESS, PUBLIC ADDRESS. Says `ready` once it listens."""
import http.server, re, socket, subprocess, sys, threading

lan, public = sys.argv[1:]
SERVICE = "urn:schemas-upnp-org:service:WANIPConnection:1"
ARGUMENTS = {
    "GetExternalIPAddress": [],
    "AddPortMapping": ["NewRemoteHost", "NewExternalPort", "NewProtocol", "NewInternalPort", "NewInternalClient",
                       "NewEnabled", "NewPortMappingDescription", "NewLeaseDuration"],
    "DeletePortMapping": ["NewRemoteHost", "NewExternalPort", "NewProtocol"],
}


def nft(rules):
    subprocess.run(["nft", "-f", "-"], input=rules.encode(), check=True)


def tag(name, *inner):
    return f"<{name}>{''.join(inner)}</{name.split()[0]}>"


def action(name):
    arguments = [tag("argument", tag("name", one), tag("direction", "in")) for one in ARGUMENTS[name]]
    return tag("action", tag("name", name), tag("argumentList", *arguments))


PAGES = {
    "/device": tag("root", tag("device", tag("serviceList", tag(
        "service", tag("serviceType", SERVICE), tag("SCPDURL", "/actions"), tag("controlURL", "/control"))))),
    "/actions": tag("scpd", tag("actionList", *map(action, ARGUMENTS))),
}


class Router(http.server.BaseHTTPRequestHandler):
    def say(self, text):
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def do_GET(self):
        self.say(PAGES[self.path])

    def do_POST(self):
        asked = self.rfile.read(int(self.headers["Content-Length"])).decode()
        name = self.headers["SOAPAction"].strip('"').split("#")[1]
        value = lambda field: re.search(f"<{field}>(.*?)</{field}>", asked)[1]
        if name == "AddPortMapping":
            kind, client = value("NewProtocol").lower(), value("NewInternalClient")
            to = f"{client}:{value('NewInternalPort')}"
            nft(f"add rule ip t open iifname wan {kind} dport {value('NewExternalPort')} dnat to {to}")
        told = tag("NewExternalIPAddress", public) if name == "GetExternalIPAddress" else ""
        self.say(tag("Envelope", tag("Body", tag(f"{name}Response", told))))

    def log_message(self, *_):
        pass


nft("""table ip t { chain open { type nat hook prerouting priority -100; }; }
insert rule ip t through iifname "wan" ct status dnat accept""")
web = http.server.ThreadingHTTPServer((lan, 5000), Router)
threading.Thread(target=web.serve_forever, daemon=True).start()
search = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
search.bind(("", 1900))
search.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton("239.255.255.250") + socket.inet_aton(lan))
print("ready", flush=True)
while True:
    _, asker = search.recvfrom(4096)
    search.sendto(f"HTTP/1.1 200 OK\r\nLocation: http://{lan}:5000/device\r\n\r\n".encode(), asker)
