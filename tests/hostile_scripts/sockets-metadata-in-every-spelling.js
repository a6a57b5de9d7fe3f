// attack: reach the metadata stand-in by every spelling of its address
// needs: full
// violations: any
// retires: any
// came_to: {"dotted":"denied","short":"denied","decimal":"denied","hex":"denied","octal":"denied","mapped":"denied","mapped_hex":"denied"}
function login(email, password, callback) {
  const port = Number(configuration.metadata_port);
  const spellings = {
    dotted: '127.0.0.66',
    short: '127.66',
    decimal: '2130706498',
    hex: '0x7f000042',
    octal: '0177.0.0.0102',
    mapped: '::ffff:127.0.0.66',
    mapped_hex: '::ffff:7f00:42',
  };
  const attempts = {};
  for (const [name, host] of Object.entries(spellings)) attempts[name] = () => connects({ host, port });
  report(callback, attempts);
}
