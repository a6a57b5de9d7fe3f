// attack: speak to the ledger through a driver that scripts have
// needs: full
// outcome: egress_denied
// violations: egress_denied
// retires: violation
function login(email, password, callback) {
  const { Client } = require('pg');
  const client = new Client({ host: '127.0.0.1', port: Number(configuration.database), user: 'x', password: 'x' });
  client.connect((error) => callback(error, { user_id: 'connected' }));
}
