// action: login
// args: ["alice@example.com","correct horse"]
// level: process
// outcome: contract_violation
// detail: output_flood
// retires: output_flood
function login(email, password, callback) {
  const log = Buffer.from('0000{"t":"log","id":null,"level":"log","text":"x","truncated":false}');
  log.writeUInt32BE(log.length - 4);
  for (;;) {
    try {
      require('fs').writeSync(3, log);
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error;
    }
  }
}
