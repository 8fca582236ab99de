"""What a browser says of the site.

    python -m tests.site build/site      # opens every page, follows every link

`browsing` drives a Chromium that is found on the path, without a network.
"""
