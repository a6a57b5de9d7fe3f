// action: login
// args: ["alice@example.com","correct horse"]
// outcome: misconfigured
// detail: bind_error
// retires: bind_error
// message: Cannot use import statement
import pg from 'pg';

function login(email, password, callback) {
  callback(null, { user_id: 1 });
}
