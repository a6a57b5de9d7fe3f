// The `login` action script of the demo, as a customer brings it from Auth0: `pg` and `bcrypt`,
// callbacks, a numeric id, work after the callback.
function login(email, password, callback) {
  const { Client } = require('pg');
  const bcrypt = require('bcrypt');

  const client = new Client({
    connectionString: configuration.DATABASE_URL,
    connectionTimeoutMillis: 3000
  });

  client.connect(function (err) {
    if (err) return callback(err);

    const query = 'SELECT id, email, full_name, nickname, email_confirmed, password_hash, plan ' +
                  'FROM customers WHERE lower(email) = lower($1)';
    client.query(query, [email], function (err, result) {
      if (err) {
        client.end();
        return callback(err);
      }
      if (result.rows.length === 0) {
        client.end();
        return callback(new WrongUsernameOrPasswordError(email));
      }
      const user = result.rows[0];
      bcrypt.compare(password, user.password_hash, function (err, isValid) {
        if (err || !isValid) {
          client.end();
          return callback(err || new WrongUsernameOrPasswordError(email));
        }
        console.log('legacy login of customer', user.id);
        callback(null, {
          user_id: user.id,
          email: user.email,
          email_verified: user.email_confirmed,
          name: user.full_name,
          nickname: user.nickname,
          user_metadata: { plan: user.plan }
        });
        client.end();
      });
    });
  });
}
