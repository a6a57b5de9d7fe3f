function login(email, password, callback) {
  const crypto = require('crypto');
  const sqlserver = require('tedious@11.0.3');
  const Connection = sqlserver.Connection;
  const Request = sqlserver.Request;
  const TYPES = sqlserver.TYPES;
  const connection = new Connection({
    userName: 'legacy',
    password: configuration.SQL_PASSWORD,
    server: configuration.SQL_SERVER,
    options: {
      port: Number(configuration.SQL_PORT),
      database: 'membership',
      rowCollectionOnRequestCompletion: true
    }
  });

  function validate(password, stored, done) {
    const bytes = new Buffer(stored, 'base64');
    const salt = bytes.slice(1, 17);
    crypto.pbkdf2(password, salt, 1000, 32, 'sha1', function (err, key) {
      if (err) return done(err);
      done(null, key.toString('base64') === bytes.slice(17, 49).toString('base64'));
    });
  }

  connection.on('connect', function (err) {
    if (err) return callback(err);
    const query =
      'SELECT webpages_Membership.UserId, UserName, UserProfile.UserName, Password FROM webpages_Membership ' +
      'INNER JOIN UserProfile ON UserProfile.UserId = webpages_Membership.UserId ' +
      'WHERE UserProfile.UserName = @Username';
    const request = new Request(query, function (err, rowCount, rows) {
      if (err) return callback(err);
      if (rowCount < 1) return callback(new WrongUsernameOrPasswordError(email));
      validate(password, rows[0][3].value, function (err, isValid) {
        if (err || !isValid) return callback(err || new WrongUsernameOrPasswordError(email));
        callback(null, { user_id: rows[0][0].value, nickname: rows[0][1].value, email: rows[0][2].value });
      });
    });
    request.addParameter('Username', TYPES.VarChar, email);
    connection.execSql(request);
  });
}
